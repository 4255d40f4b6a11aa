"""Plans, the fillings they give, and what becomes of equal and unusable ones."""

from dataclasses import replace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from scenario import EXAMPLES, TEMPLATE, make_dlm

from helpers import tiny_dlm
from promptinfill.errors import PromptInfillError
from promptinfill.infilling.candidates import (
    Candidate,
    InfillOptions,
    Plan,
    batches,
    collect,
    draw_fillings,
    make_plans,
    malformed,
)
from promptinfill.infilling.canvas import build_canvases, grouped
from promptinfill.templates import Template

# --- plans ---


@given(
    seed=st.integers(0, 2**63 - 1),
    count=st.integers(1, 12),
    more=st.integers(0, 12),
    pool=st.integers(1, 9),
    shown=st.integers(1, 6),
)
def test_plan_i_depends_on_the_seed_and_i_alone(seed, count, more, pool, shown):
    options = InfillOptions(examples=shown)
    plans = make_plans(TEMPLATE, pool, count, seed, options)
    longer = make_plans(TEMPLATE, pool, count + more, seed, replace(options, batch_size=3))
    assert longer[:count] == plans
    for i, plan in enumerate(plans):
        assert plan.number == i
        assert len(set(plan.examples)) == min(shown, pool)
        assert set(plan.examples) <= set(range(pool))
    assert len({plan.seed for plan in longer}) == len(longer)


def test_another_seed_draws_other_subsets():
    one, two = (make_plans(TEMPLATE, 20, 8, seed, InfillOptions()) for seed in (0, 1))
    assert [p.examples for p in one] != [p.examples for p in two]
    assert not {p.seed for p in one} & {p.seed for p in two}
    assert len({tuple(p.examples) for p in one}) > 1


def test_lengths_cycle_first_and_temperatures_after_each_round():
    options = InfillOptions(lengths=(1.0, 0.5, 0.01), temperatures=(0.0, 0.7))
    template = Template("[MASK:8] [MASK:3:b]\n{input} {output}", response="output")
    plans = make_plans(template, 5, 7, 0, options)
    assert [p.hole_lengths for p in plans[:3]] == [[8, 3], [4, 2], [1, 1]]
    assert [p.temperature for p in plans] == [0.0] * 3 + [0.7] * 3 + [0.0]


def test_batches_hold_one_temperature_and_every_plan_once():
    plans = make_plans(TEMPLATE, 5, 11, 0, InfillOptions())
    groups = batches(plans, 2)
    assert sorted(p.number for group in groups for p in group) == list(range(11))
    assert all(len(group) <= 2 for group in groups)
    assert all(len({p.temperature for p in group}) == 1 for group in groups)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"conditioning": "both"}, "unknown conditioning 'both': choose one of concat, tied"),
        ({"examples": 0}, "examples is 0"),
        ({"per_canvas": 0}, "per_canvas is 0"),
        ({"batch_size": 0}, "batch_size is 0"),
        ({"lengths": ()}, "lengths is"),
        ({"lengths": (1.0, -1.0)}, "lengths is"),
        ({"temperatures": ()}, "temperatures is empty"),
        ({"temperatures": (-1.0,)}, "temperature is -1.0"),
        ({"order": "inside_out"}, "unknown decoding order 'inside_out'"),
    ],
)
def test_options_out_of_range_are_refused_at_once(wrong, message):
    with pytest.raises(PromptInfillError, match=message):
        InfillOptions(**wrong)


# --- draws ---


def plan(number=0, examples=(0, 1), lengths=(3,), temperature=0.0):
    return Plan(number, 1000 + number, list(examples), list(lengths), temperature)


def brute_force(dlm, examples, prior_weight, guidance):
    """log p over the vocabulary of a 1-token hole, from full logits, one canvas at a time."""

    def ids(text):
        return dlm.tokenizer(text, add_special_tokens=False).input_ids

    def log_p(value, answer):
        canvas = [dlm.bos_token_id, dlm.mask_token_id, *ids("\nInput:"), *value]
        canvas += [*ids("\nOutput:"), *answer, dlm.eos_token_id]
        return dlm.logits(torch.tensor([canvas]))[0, 1].double().log_softmax(dim=0)

    spelled = [(ids(" " + e["input"]), ids(" " + e["output"])) for e in examples]
    given_each = [log_p(*pair) for pair in spelled]
    prior = log_p(*([dlm.mask_token_id] * len(part) for part in spelled[0]))
    count = len(examples)
    if prior_weight:
        together = sum(given_each) - prior_weight * (count - 1) * prior
    else:
        together = sum(given_each) / count
    together = (1 + guidance) * together - guidance * prior
    banned = dlm.suppressed.clone()
    banned[dlm.eos_token_id] = True
    return together.masked_fill(banned, -torch.inf).log_softmax(dim=0)


@pytest.mark.parametrize("guidance", [0.0, 0.7])
@pytest.mark.parametrize("prior_weight", [0.0, 0.4, 1.0])
@torch.no_grad()
def test_a_draw_is_the_best_token_of_the_combined_distribution(free_dlm, prior_weight, guidance):
    options = InfillOptions(prior_weight=prior_weight, guidance=guidance)
    pairs = [(0, 3), (1, 2), (4, 5)]  # of several lengths, so that rows are padded
    done = draw_fillings(
        free_dlm, TEMPLATE, EXAMPLES, [plan(i, pair, [1]) for i, pair in enumerate(pairs)], options
    )
    for draw, pair in zip(done["draws"], pairs, strict=True):
        expected = brute_force(free_dlm, [EXAMPLES[j] for j in pair], prior_weight, guidance)
        best = int(expected.argmax())
        assert draw["fillings"] == [free_dlm.tokenizer.decode([best]).strip()]
        assert draw["log_prob"] == pytest.approx(float(expected[best]), abs=1e-3)
    rows = 2 + bool(prior_weight or guidance)
    assert done["model_calls"] == rows * len(pairs)


def test_prior_and_guidance_change_what_comes_out(free_dlm):
    """Otherwise the test above could hold with all weights ignored."""
    plans = [plan(0, (0, 3), [1])]
    found = [
        draw_fillings(free_dlm, TEMPLATE, EXAMPLES, plans, InfillOptions(**options))["draws"][0]
        for options in ({}, {"prior_weight": 1.0}, {"guidance": 0.7})
    ]
    assert len({round(draw["log_prob"], 3) for draw in found}) == 3


@pytest.mark.parametrize("conditioning", ["tied", "concat"])
def test_only_holes_change(free_dlm, conditioning):
    plans = [plan(0, (0, 1, 2)), plan(1, (3, 4, 5), [2])]
    options = InfillOptions(conditioning=conditioning, prior_weight=1.0, guidance=0.5)
    traces = []
    draw_fillings(free_dlm, TEMPLATE, EXAMPLES, plans, options, on_step=traces.append)
    before = []
    for p in plans:
        groups = grouped([EXAMPLES[j] for j in p.examples], conditioning)
        template = TEMPLATE.with_hole_lengths(p.hole_lengths)
        before += build_canvases(free_dlm, template, groups, prior_weight=1.0, guidance=0.5).rows
    after = traces[-1].tokens.tolist()
    assert len(before) == len(after)
    for row, filled in zip(before, after, strict=True):
        for token, slot, now in zip(row.ids, row.slot, filled, strict=False):
            if slot < 0:
                assert now == token
            else:
                assert now != free_dlm.mask_token_id
        assert set(filled[len(row) :]) <= {free_dlm.pad_token_id}


def test_tied_canvases_get_one_text(free_dlm):
    traces = []
    draw_fillings(
        free_dlm, TEMPLATE, EXAMPLES, [plan(0, range(6))], InfillOptions(), on_step=traces.append
    )
    assert len({tuple(row[1:4]) for row in traces[-1].tokens.tolist()}) == 1


@pytest.mark.parametrize("temperature", [0.0, 1.0, 5.0])
def test_no_special_token_comes_out_though_the_model_wants_it(temperature):
    eager = tiny_dlm("modernbert")
    with torch.no_grad():
        eager.model.decoder.bias[eager.tokenizer.all_special_ids] += 50.0
    traces = []
    done = draw_fillings(
        eager,
        TEMPLATE,
        EXAMPLES,
        [plan(i, temperature=temperature) for i in range(4)],
        InfillOptions(),
        on_step=traces.append,
    )
    written = {token for trace in traces for token in trace.token_ids.tolist()}
    assert written
    assert not written & set(eager.tokenizer.all_special_ids)
    for draw in done["draws"]:
        assert not any(t in draw["fillings"][0] for t in eager.tokenizer.all_special_tokens)


@pytest.mark.parametrize("conditioning", ["tied", "concat"])
def test_a_named_hole_used_twice_is_one_text(dlm, conditioning):
    template = Template(
        "[MASK:3:task] now.\nInput: {input}\nAgain [MASK:3:task]:\n[MASK:2] {output}",
        response="output",
    )
    traces = []
    plans = [plan(i, lengths=(3, 2), temperature=1.0) for i in range(3)]
    options = InfillOptions(conditioning=conditioning)
    done = draw_fillings(dlm, template, EXAMPLES, plans, options, on_step=traces.append)
    found, _ = collect(template, plans, done["draws"], len)
    assert len(found) == 3
    for candidate in found:
        task, other = candidate.fillings
        assert len(task.split()) == 3
        assert len(other.split()) == 2
        assert candidate.prompt.count(task) == 2
    groups = grouped([EXAMPLES[j] for j in (0, 1)], conditioning)
    first = build_canvases(dlm, template, groups).rows[0]
    filled = traces[-1].tokens.tolist()[0]
    by_slot = {}
    for token, slot in zip(filled, first.slot, strict=False):
        if slot >= 0:
            assert by_slot.setdefault(slot, token) == token
    assert sorted(by_slot) == [0, 1, 2, 3, 4]


def test_a_draw_does_not_depend_on_the_other_draws_of_its_batch(free_dlm):
    plans = [plan(i, (i, (i + 2) % 6), [1 + i % 3], 0.8) for i in range(5)]
    together = draw_fillings(free_dlm, TEMPLATE, EXAMPLES, plans, InfillOptions())["draws"]
    back = draw_fillings(free_dlm, TEMPLATE, EXAMPLES, plans[::-1], InfillOptions())["draws"][::-1]
    alone = [
        draw_fillings(free_dlm, TEMPLATE, EXAMPLES, [p], InfillOptions())["draws"][0] for p in plans
    ]
    for other in (back, alone):
        assert [d["fillings"] for d in other] == [d["fillings"] for d in together]
        assert [d["log_prob"] for d in other] == pytest.approx(
            [d["log_prob"] for d in together], abs=1e-3
        )


def test_the_plans_seed_decides_a_warm_draw(dlm):
    plans = [plan(i, temperature=1.5) for i in range(6)]
    texts = [
        tuple(d["fillings"])
        for d in draw_fillings(dlm, TEMPLATE, EXAMPLES, plans, InfillOptions())["draws"]
    ]
    again = [
        tuple(d["fillings"])
        for d in draw_fillings(dlm, TEMPLATE, EXAMPLES, plans, InfillOptions())["draws"]
    ]
    assert texts == again
    assert len(set(texts)) > 1


def test_suppressed_tokens_of_the_conventions_stay_out(dlm):
    plans = [plan(i, temperature=3.0) for i in range(4)]
    draws = draw_fillings(dlm, TEMPLATE, EXAMPLES, plans, InfillOptions())["draws"]
    assert all(text.replace(" ", "").isalpha() for d in draws for text in d["fillings"])


# --- from draws to candidates ---


def drawn(number, *fillings):
    return {"number": number, "fillings": list(fillings), "log_prob": -1.0 * number}


def test_equal_draws_fall_together_under_the_first_number():
    plans = [plan(i) for i in range(5)]
    draws = [drawn(4, "b"), drawn(2, "a"), drawn(0, "b"), drawn(3, "b"), drawn(1, "c")]
    found, dropped = collect(TEMPLATE, plans, draws, len)
    assert [(c.number, c.fillings, c.drawn) for c in found] == [
        (0, ["b"], 3),
        (1, ["c"], 1),
        (2, ["a"], 1),
    ]
    assert dropped == {"duplicate": 2}
    assert found[0].log_prob == 0.0
    assert found[2].plan["seed"] == 1002


def test_malformed_draws_are_counted_by_reason_and_never_repaired():
    plans = [plan(i) for i in range(7)]
    draws = [
        drawn(0, "fine"),
        drawn(1, ""),
        drawn(2, "two\nlines"),
        drawn(3, "odd \ufffd"),
        drawn(4, "?!"),
        drawn(5, ""),
        drawn(6, "fine", ""),
    ]
    template = Template("[MASK:3]\n{input} {output}", response="output")
    found, dropped = collect(template, plans, draws, len)
    assert [c.number for c in found] == [0]
    assert dropped == {"empty": 3, "line break": 1, "broken character": 1, "no word": 1}


@pytest.mark.parametrize("text", ["write it", "7", "é", "a { b } [MASK:2]"])
def test_ordinary_text_is_not_malformed(text):
    assert malformed(text) is None


def test_a_prompt_keeps_its_fields_open_and_its_filling_literal():
    found, _ = collect(TEMPLATE, [plan()], [drawn(0, "use {input} and [MASK:2]")], len)
    prompt = Template(found[0].prompt, "output")
    assert prompt.holes == ()
    assert prompt.prompt({"input": "x"}) == "use {input} and [MASK:2]\nInput: x\nOutput: "
    assert found[0].tokens == len("use {input} and [MASK:2]\nInput: \nOutput: ")


def test_the_score_does_not_depend_on_the_order_of_the_rows():
    values = [0.1, 0.7, 0.2, 0.3, 1.0, 0.6]
    one, two = (
        Candidate(0, ["a"], "a", 1, {}, 0.0, scores=list(scores))
        for scores in (values, sorted(values))
    )
    assert one.score == two.score
    assert Candidate(0, ["a"], "a", 1, {}, 0.0).score == 0.0


def test_make_dlm_is_the_same_each_time(dlm):
    """The resuming tests build the model in two processes."""
    other = make_dlm()
    assert all(
        torch.equal(a, b)
        for a, b in zip(dlm.model.parameters(), other.model.parameters(), strict=True)
    )
