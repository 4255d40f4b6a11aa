"""The generator's micro-tasks as tasks."""

import pytest

from promptinfill.microtasks import CATALOGUE
from promptinfill.tasks import Splits, get_task
from promptinfill.tasks.microtasks import load
from promptinfill.templates import Template

SMALL = Splits(6, 6, 8)


@pytest.mark.parametrize("name", list(CATALOGUE))
def test_rows_never_overlap_and_gold_answers_score_one(name):
    task = load(name, SMALL)
    parts = [task.examples, task.validation, task.test]
    assert all(parts)
    inputs = [row["input"] for part in parts for row in part]
    assert len(inputs) == len(set(inputs))
    for part in parts:
        for row in part:
            assert task.metric(row["output"], row["output"]) == 1.0
            assert task.metric(row["output"] + "?", row["output"]) == 0.0
    template = Template(task.template, task.response)
    assert template.holes
    for source in task.manual:
        manual = Template(source, task.response)
        assert not manual.holes
        assert manual.prompt(task.test[0]).endswith("Output: ")


def test_sizes_and_seed():
    task = load("first_letter", SMALL)
    assert [len(p) for p in (task.examples, task.validation, task.test)] == [6, 6, 8]
    assert load("first_letter", SMALL) == task
    assert load("first_letter", Splits(6, 6, 8, seed=1)).test != task.test
    assert get_task("first_letter", SMALL) == task


def test_tasks_kept_out_of_training_say_so():
    noted = {name for name in CATALOGUE if load(name, Splits(1, 1, 1)).notes == "never trained on"}
    assert noted == {name for name, micro in CATALOGUE.items() if micro.held_out}
    assert noted
