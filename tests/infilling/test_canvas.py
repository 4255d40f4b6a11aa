"""Canvases: what the model sees, what it may write, and what each row weighs."""

import pytest
from scenario import EXAMPLES, TEMPLATE

from promptinfill.data.encoding import PROMPT, RESPONSE
from promptinfill.errors import TemplateError
from promptinfill.infilling.canvas import (
    build_canvases,
    canvas_segments,
    check_examples,
    grouped,
)
from promptinfill.templates import Template


def text_of(segments):
    return "".join("#" * s.hole.length if s.hole else s.text for s in segments)


def test_concat_writes_the_header_once_and_the_block_for_each_example():
    assert text_of(canvas_segments(TEMPLATE, EXAMPLES[:3])) == (
        "###\nInput: dog\nOutput: d\nInput: cat\nOutput: c\nInput: mouse\nOutput: m"
    )


def test_only_the_last_answer_is_the_response():
    segments = canvas_segments(TEMPLATE, EXAMPLES[:3])
    assert [s.text for s in segments if s.region == "response"] == ["m"]
    answers = [s for s in segments if s.name == "output"]
    assert [s.region for s in answers] == ["prompt", "prompt", "response"]


def test_a_hole_of_the_block_stands_in_every_block():
    template = Template("Task\nInput: {input}\n[MASK:2] {output}", response="output")
    segments = canvas_segments(template, EXAMPLES[:2])
    assert text_of(segments) == "Task\nInput: dog\n## d\nInput: cat\n## c"


def test_concat_is_one_row_with_one_response(dlm):
    canvases = build_canvases(dlm, TEMPLATE, grouped(EXAMPLES[:3], "concat"))
    assert len(canvases.rows) == 1
    assert canvases.weights == [1.0]
    row = canvases.rows[0]
    written = [t for t, r in zip(row.ids, row.region, strict=True) if r == RESPONSE]
    assert dlm.tokenizer.decode(written[:-1]) == " m"
    assert written[-1] == dlm.eos_token_id
    assert [s for s in row.slot if s >= 0] == [0, 1, 2]


def test_tied_is_a_row_for_each_example_with_shared_slots_and_equal_weights(dlm):
    canvases = build_canvases(dlm, TEMPLATE, grouped(EXAMPLES[:4], "tied"))
    assert canvases.weights == [0.25] * 4
    texts = [
        dlm.tokenizer.decode([t for t, s in zip(row.ids, row.slot, strict=True) if s < 0])
        for row in canvases.rows
    ]
    assert texts == [
        f"<bos>\nInput: {row['input']}\nOutput: {row['output']}<eos>" for row in EXAMPLES[:4]
    ]
    for row in canvases.rows:
        slots = [(i, s) for i, s in enumerate(row.slot) if s >= 0]
        assert slots == [(1, 0), (2, 1), (3, 2)]
        assert all(row.ids[i] == dlm.mask_token_id for i, _ in slots)
        assert all(row.region[i] == PROMPT for i, _ in slots)
        assert row.ids.count(dlm.mask_token_id) == 3


def test_tied_over_groups_keeps_every_example_once():
    assert grouped(EXAMPLES[:5], "tied", 2) == [EXAMPLES[:2], EXAMPLES[2:4], EXAMPLES[4:5]]
    assert grouped(EXAMPLES[:5], "concat", 2) == [EXAMPLES[:5]]


def test_the_prior_row_masks_the_values_of_fields_and_nothing_else(dlm):
    canvases = build_canvases(dlm, TEMPLATE, grouped(EXAMPLES[:2], "tied"), prior_weight=1.0)
    first, _, prior = canvases.rows
    changed = [i for i in range(len(first)) if prior.ids[i] != first.ids[i]]
    assert changed == [i for i in range(len(first)) if first.is_field[i]]
    assert "".join(dlm.tokenizer.convert_ids_to_tokens([first.ids[i] for i in changed])) == "ĠdogĠd"
    assert {prior.ids[i] for i in changed} == {dlm.mask_token_id}
    assert prior.slot == first.slot  # the masked examples are no holes: nothing fills them


@pytest.mark.parametrize(
    ("count", "prior", "guidance", "expected"),
    [
        (1, 0.0, 0.0, [1.0]),
        (4, 0.0, 0.0, [0.25] * 4),
        (1, 1.0, 0.0, [1.0]),  # nothing to take out with one example
        (3, 1.0, 0.0, [1.0, 1.0, 1.0, -2.0]),
        (3, 0.5, 0.0, [1.0, 1.0, 1.0, -1.0]),
        (2, 0.0, 1.5, [1.25, 1.25, -1.5]),
        (1, 0.0, 2.0, [3.0, -2.0]),
        # (1 + s) (sum of log p(h | k) - (K - 1) log p(h)) - s log p(h)
        (3, 1.0, 0.5, [1.5, 1.5, 1.5, -3.5]),
    ],
)
def test_weights_are_those_of_the_formulas(dlm, count, prior, guidance, expected):
    canvases = build_canvases(
        dlm,
        TEMPLATE,
        grouped(EXAMPLES[:count], "tied"),
        prior_weight=prior,
        guidance=guidance,
    )
    assert canvases.weights == pytest.approx(expected)
    assert len(canvases.rows) == len(expected)


@pytest.mark.parametrize("guidance", [0.0, 0.5, 2.0])
@pytest.mark.parametrize("prior", [0.0, 1.0])
def test_examples_that_say_nothing_leave_the_prior(dlm, prior, guidance):
    """Were all rows the same, their combination would be that row: the weights sum to 1."""
    canvases = build_canvases(
        dlm, TEMPLATE, grouped(EXAMPLES[:5], "tied"), prior_weight=prior, guidance=guidance
    )
    assert sum(canvases.weights) == pytest.approx(1.0)


def test_an_example_without_a_field_is_named():
    with pytest.raises(TemplateError, match=r"validation\[1\] has no text for field 'output'"):
        check_examples(TEMPLATE, [EXAMPLES[0], {"input": "cat"}], "validation")
    with pytest.raises(TemplateError, match=r"test\[0\] has no text for field 'input'"):
        check_examples(TEMPLATE, [{"input": 3, "output": "d"}], "test")
    with pytest.raises(TemplateError, match=r"test\[0\]: 'references' must be one text"):
        check_examples(TEMPLATE, [EXAMPLES[0] | {"references": ["d", "D"]}], "test")
