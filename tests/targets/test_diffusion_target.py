"""The model as its own target: an answer is a matter of its prompt alone, and costs are true."""

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from helpers import tiny_dlm
from promptinfill.diffusion.sampling import SamplingOptions
from promptinfill.errors import ModelError
from promptinfill.targets import Target
from promptinfill.targets.diffusion import DiffusionTarget

PROMPTS = [
    f"{instruction}\nInput: {word}\nOutput: "
    for instruction in ("Write the first letter of this word.", "sort", "")
    for word in ("dog", "a longer input of words", "x, y, z", "7 12")
]
GREEDY = SamplingOptions(order="confidence", threshold=0.9)
WARM = SamplingOptions(order="random", temperature=1.0)


@pytest.fixture(scope="module")
def dlm():
    """Random, with a liking for EOS, so that some answers end early."""
    torch.set_num_threads(1)
    made = tiny_dlm("modernbert")
    with torch.no_grad():
        made.model.decoder.bias[made.eos_token_id] += 2.5
    return made


def answers(dlm, prompts, max_tokens=6, **how):
    return DiffusionTarget(dlm, **how).answer(list(prompts), max_tokens=max_tokens)


def test_it_is_a_target(dlm):
    target = DiffusionTarget(dlm)
    assert isinstance(target, Target)
    assert target.name == dlm.name


@settings(max_examples=15)
@given(
    order=st.permutations(range(len(PROMPTS))),
    batch_size=st.integers(1, 5),
    options=st.sampled_from([GREEDY, WARM]),
)
def test_an_answer_does_not_depend_on_the_batch_or_the_order(dlm, order, batch_size, options):
    whole, _ = answers(dlm, PROMPTS, options=options)
    mixed, _ = answers(dlm, [PROMPTS[i] for i in order], options=options, batch_size=batch_size)
    assert mixed == [whole[i] for i in order]


def test_answers_differ_between_prompts(dlm):
    """Otherwise the test above would hold for a target that ignores its prompt."""
    found, _ = answers(dlm, PROMPTS)
    assert len(set(found)) > 3


def test_only_a_warm_answer_depends_on_the_seed(dlm):
    greedy = [answers(dlm, PROMPTS, seed=seed)[0] for seed in (0, 1)]
    warm = [answers(dlm, PROMPTS, seed=seed, options=WARM)[0] for seed in (0, 1)]
    assert greedy[0] == greedy[1]
    assert warm[0] != warm[1]
    assert warm[0] == answers(dlm, PROMPTS, seed=0, options=WARM)[0]


def test_the_first_eos_ends_the_answer(dlm):
    cut = 0
    for prompt in PROMPTS:
        traces = []
        (answer,), _ = answers(dlm, [prompt], max_tokens=6, on_step=traces.append)
        written = traces[-1].tokens[0, -6:].tolist()
        assert not set(written) & (set(dlm.tokenizer.all_special_ids) - {dlm.eos_token_id})
        if dlm.eos_token_id in written:
            end = written.index(dlm.eos_token_id)
            cut += any(token != dlm.eos_token_id for token in written[end:]) and end > 0
            written = written[:end]
        assert answer == dlm.tokenizer.decode(written).strip()
    assert cut  # some answer had text both before and after its EOS


def test_an_answer_that_is_all_eos_is_empty():
    eager = tiny_dlm("modernbert")
    with torch.no_grad():
        eager.model.decoder.bias[eager.eos_token_id] += 100.0
    found, cost = answers(eager, PROMPTS[:2])
    assert found == ["", ""]
    assert cost.model_calls == 2  # all above the threshold at once


@pytest.mark.parametrize("batch_size", [1, 3, 64])
def test_cost_counts_rows_through_the_model_and_their_tokens(dlm, batch_size):
    rows, widths = [], []
    original = dlm.hidden

    def counting(input_ids, attention_mask=None, position_ids=None):
        rows.append(len(input_ids))
        widths.append(int(attention_mask.sum()))
        return original(input_ids, attention_mask, position_ids)

    dlm.hidden = counting
    try:
        _, cost = answers(dlm, PROMPTS, batch_size=batch_size)
    finally:
        del dlm.hidden
    assert cost.model_calls == sum(rows)
    assert cost.tokens == sum(widths)  # padding is not counted


def test_one_token_a_step_costs_one_call_for_each_token(dlm):
    _, cost = answers(dlm, PROMPTS[:3], max_tokens=5, options=SamplingOptions())
    assert cost.model_calls == 15


def test_spaces_at_the_end_of_a_prompt_are_the_models_to_write(dlm):
    bare = [text.rstrip(" ") for text in PROMPTS]
    assert answers(dlm, bare) == answers(dlm, PROMPTS)


def test_special_tokens_in_a_prompt_are_text(dlm):
    traces = []
    answers(dlm, ["<mask><eos>"], max_tokens=2, on_step=traces.append)
    prompt = traces[-1].tokens[0, 1:-2].tolist()
    assert not set(prompt) & set(dlm.tokenizer.all_special_ids)
    assert dlm.tokenizer.decode(prompt) == "<mask><eos>"


def test_count_tokens_counts_no_bos(dlm):
    target = DiffusionTarget(dlm)
    assert target.count_tokens("") == 0
    assert target.count_tokens(" word") == 1
    assert target.count_tokens(" dog") == 3  # not listed: spelled
    assert target.count_tokens("Write the first letter.") == 5


def test_no_prompts_cost_nothing(dlm):
    found, cost = answers(dlm, [])
    assert found == []
    assert (cost.model_calls, cost.tokens) == (0, 0)


def test_a_prompt_too_long_for_the_model_is_an_error(dlm):
    with pytest.raises(ModelError, match="does not fit"):
        answers(dlm, ["word " * 200])


def test_settings_tell_decoding_apart(dlm):
    made = [DiffusionTarget(dlm), DiffusionTarget(dlm, seed=1), DiffusionTarget(dlm, options=WARM)]
    assert made[0].settings == DiffusionTarget(dlm).settings
    assert made[0].settings != made[1].settings
    assert made[0].settings != made[2].settings
