"""Re-masking opens holes where it should and nowhere else; likelihoods agree with brute force."""

import pytest
import torch

from optimizer_helpers import BLOCK, TASK, tiny
from promptinfill.errors import PromptInfillError
from promptinfill.optimizers.remask import header_words, remask, unlikely_spans, word_log_probs
from promptinfill.optimizers.searches import with_feedback, without_feedback
from promptinfill.templates import Template

PROMPT = Template("Write the {{first}} letter\nof this word." + BLOCK, "output")


def test_holes_stand_over_the_words_and_the_rest_stays():
    holed = remask(PROMPT, [(0, 1), (4, 6)], tiny())
    assert header_words(PROMPT) == ["Write", "the", "{first}", "letter", "of", "this", "word."]
    assert str(holed.fill(["Write", "of this"])) == str(PROMPT)
    assert str(holed) == "[MASK] the {{first}} letter\n[MASK:2] word." + BLOCK


def test_the_factor_scales_the_holes():
    (hole,) = remask(PROMPT, [(4, 6)], tiny(), factor=2).holes
    assert hole.length == 4


@pytest.mark.parametrize("spans", [[(5, 9)], [(0, 2), (1, 3)], [(2, 2)]])
def test_a_span_that_does_not_fit_is_an_error(spans):
    with pytest.raises(PromptInfillError, match="does not fit"):
        remask(PROMPT, spans, tiny())


def test_a_prompt_with_holes_cannot_be_refined():
    with pytest.raises(PromptInfillError, match="has a hole already"):
        header_words(Template("[MASK:2]" + BLOCK, "output"))


def test_the_least_likely_words_are_chosen_and_joined():
    assert unlikely_spans([-1, -5, -6, -0.1, -7, -0.2], 0.5) == [(1, 3), (4, 5)]
    assert unlikely_spans([-1.0, -2.0], 0.01) == [(1, 2)]


def test_word_log_probs_are_those_of_the_model():
    """One masked word, looked up in the full logits of the same canvas."""
    dlm, prompt = tiny(), Template("Write the letter" + BLOCK, "output")
    example = TASK.examples[0]
    found, cost = word_log_probs(dlm, prompt, [example])
    assert cost.model_calls == 3
    text = prompt.render(example)
    ids = [dlm.bos_token_id] if dlm.bos_token_id is not None else []
    ids += [*dlm.tokenizer(text, add_special_tokens=False).input_ids, dlm.eos_token_id]
    the = dlm.tokenizer(" the", add_special_tokens=False).input_ids[0]
    place = ids.index(the)
    ids[place] = dlm.mask_token_id
    with torch.inference_mode():
        logits = dlm.logits(torch.tensor([ids]))
    expected = logits[0, place].log_softmax(0)[the].item()
    assert found[1] == pytest.approx(expected, abs=1e-4)


def test_feedback_stands_above_the_first_field_and_leaves_no_trace():
    holed = remask(PROMPT, [(0, 1)], tiny())
    shown = with_feedback(holed, "too {long}")
    assert "word.\nFeedback: too {{long}}\nInput: {input}" in str(shown)
    filled = str(shown.fill(["Say"]))
    assert without_feedback(filled, "too {long}") == str(holed.fill(["Say"]))
    assert with_feedback(holed, "") is holed
