"""One answer against one row."""

from functools import partial

import pytest

from promptinfill.errors import PromptInfillError
from promptinfill.evaluation.scoring import (
    answer_room,
    metric_name,
    prompt_accuracy,
    score_answer,
)
from promptinfill.targets import Cost
from promptinfill.tasks.metrics import best_of, exact_match, f1
from promptinfill.templates import Template


def test_the_response_is_the_reference_of_a_row_without_references():
    assert score_answer(exact_match, "a", {"output": "a"}, "output") == 1.0
    assert score_answer(exact_match, "b", {"output": "a"}, "output") == 0.0


def test_an_answer_of_two_lines_is_one_reference():
    row = {"output": "a\nb"}
    assert score_answer(exact_match, "a\nb", row, "output") == 1.0
    assert score_answer(exact_match, "a", row, "output") == 0.0


@pytest.mark.parametrize("metric", [exact_match, best_of(exact_match)])
def test_references_stand_before_the_response_and_the_best_counts(metric):
    row = {"output": "a", "references": "b\nc"}
    found = {answer: score_answer(metric, answer, row, "output") for answer in "abc"}
    assert found == {"a": 0.0, "b": 1.0, "c": 1.0}


def test_the_best_is_the_greatest_not_the_last():
    row = {"output": "", "references": "x\nred house\nred"}
    assert score_answer(f1, "red house", row, "output") == 1.0
    assert score_answer(f1, "a red", row, "output") == pytest.approx(2 / 3)


@pytest.mark.parametrize("order", ["1\nnan", "nan\n1"])
def test_a_value_that_is_no_number_is_an_error_wherever_it_stands(order):
    with pytest.raises(PromptInfillError, match=r"gives nan for the answer 'x'"):
        score_answer(lambda answer, ref: float(ref), "x", {"references": order}, "output")


def test_names_of_metrics_hold_no_address():
    assert metric_name(exact_match) == "exact_match"
    assert metric_name(best_of(f1)) == "f1"
    assert metric_name(partial(exact_match)) == "partial"


class Echo:
    """A target that answers with the prompt's last word and counts words."""

    name, batch_size = "echo", 8

    def answer(self, prompts, *, max_tokens):
        self.max_tokens = max_tokens
        return [prompt.split()[-1] for prompt in prompts], Cost()

    def count_tokens(self, text):
        return len(text.split())


def test_prompt_accuracy_is_the_mean_over_rows_and_room_the_longest_answer():
    rows = [{"input": "a b", "output": "b"}, {"input": "c d", "output": "no such answer"}]
    target, prompt = Echo(), Template("Last word: {input} {output}", response="output")
    room = answer_room(target, "output", rows)
    assert room == 3 + 2
    given = {"target": target, "metric": exact_match, "max_tokens": room}
    assert prompt_accuracy(prompt, "output", rows, **given) == 0.5
    assert target.max_tokens == room
