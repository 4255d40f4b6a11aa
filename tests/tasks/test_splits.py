"""Splits of rows, and opening tasks by name."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptinfill.errors import TaskError
from promptinfill.tasks import Splits, get_task, split_rows, task_names, task_summaries

row = st.builds(
    lambda i, o: {"input": str(i), "output": str(o), "references": f"{o}\n{o + 1}"},
    st.integers(0, 30),
    st.integers(0, 2),
)
splits_of = st.builds(
    Splits,
    examples=st.integers(1, 8),
    validation=st.integers(1, 8),
    test=st.integers(1, 8),
    seed=st.integers(0, 99),
)


def numbered(*span):
    return [{"input": str(i), "output": "x"} for i in range(*span)]


def inputs(rows):
    return [r["input"] for r in rows]


@given(rows=st.lists(row, max_size=40), splits=splits_of)
def test_no_input_stands_in_two_splits_or_twice_in_one(rows, splits):
    parts = split_rows(rows, splits, response="output")
    together = [text for part in parts for text in inputs(part)]
    assert len(together) == len(set(together))
    assert all(r in rows for part in parts for r in part)
    sizes = [splits.examples, splits.validation, splits.test]
    distinct = len(set(inputs(rows)))
    assert len(together) == min(distinct, sum(sizes))
    assert all(len(part) <= size for part, size in zip(parts, sizes, strict=True))


@given(rows=st.lists(row, max_size=40), test=st.lists(row, max_size=20), splits=splits_of)
def test_inputs_of_a_separate_test_set_stay_out_whatever_their_answer(rows, test, splits):
    examples, validation, tested = split_rows(rows, splits, response="output", test=test)
    assert not {*inputs(examples), *inputs(validation)} & set(inputs(test))
    assert not set(inputs(examples)) & set(inputs(validation))
    assert len(tested) == min(splits.test, len(test))
    assert all(r in test for r in tested)


def test_the_seed_decides_the_split():
    rows = numbered(60)
    one, again, other = (
        split_rows(rows, Splits(5, 5, 5, seed), response="output") for seed in (0, 0, 1)
    )
    assert one == again
    assert one != other
    assert inputs(one[0]) != [str(i) for i in range(5)]  # shuffled


def test_too_few_rows_are_shared_out():
    parts = split_rows(numbered(15), Splits(20, 24, 50), response="output", test=numbered(90, 99))
    assert [len(part) for part in parts] == [6, 9, 9]
    parts = split_rows(numbered(47), Splits(20, 24, 50), response="output")
    assert [len(part) for part in parts] == [10, 12, 25]


def test_the_given_rows_are_left_as_they_are():
    rows, test = numbered(20), numbered(20, 40)
    split_rows(rows, Splits(3, 3, 3), response="output", test=test)
    assert rows == numbered(20)
    assert test == numbered(20, 40)


def test_names_of_what_can_be_opened_here(monkeypatch):
    monkeypatch.delenv("PROMPTINFILL_DATA", raising=False)
    names = task_names()
    assert "first_letter" in names
    assert not any("/" in name for name in names)
    assert len(names) == len(set(names))


def test_summaries_say_what_the_tasks_say(monkeypatch):
    monkeypatch.delenv("PROMPTINFILL_DATA", raising=False)
    summaries = task_summaries()
    assert [s.name for s in summaries] == task_names()
    for summary in summaries[::9]:
        task = get_task(summary.name, Splits(1, 1, 1))
        assert (task.name, task.description, task.notes) == (
            summary.name,
            summary.description,
            summary.notes,
        )
    assert any(s.notes == "never trained on" for s in summaries)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("gsm9k/main", "unknown task family 'gsm9k' in 'gsm9k/main'; known: instruction_induction"),
        ("a/b/c", "unknown task family 'a/b'"),
        ("first_leter", "unknown micro-task 'first_leter'.*did you mean 'first_letter'"),
        ("", "unknown micro-task ''"),
    ],
)
def test_unknown_names_say_what_is_known(name, message):
    with pytest.raises(TaskError, match=message):
        get_task(name)
