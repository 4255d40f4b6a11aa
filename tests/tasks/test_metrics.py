"""Each metric on the cases that its docstring names, and the symmetries that it should have."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from promptinfill.errors import TaskError
from promptinfill.tasks.metrics import (
    METRICS,
    best_of,
    contains,
    exact_match,
    exact_text,
    f1,
    get_metric,
    normalise,
    set_match,
)

texts = st.text(alphabet="aAbB ,.\n1é", max_size=12)


@pytest.mark.parametrize(
    ("metric", "answer", "reference", "value"),
    [
        # equal up to case, white space and one final full stop
        (exact_match, " The  Cat\n", "the cat", 1),
        (exact_match, "cat.", "Cat", 1),
        (exact_match, "cat", "cat.", 1),
        (exact_match, "cat..", "cat", 0),
        (exact_match, "the cat", "cat", 0),
        (exact_match, "cat the", "the cat", 0),
        (exact_match, "cat!", "cat", 0),
        (exact_match, "", "", 1),
        # equal up to surrounding white space; case counts
        (exact_text, " cat\n", "cat", 1),
        (exact_text, "Cat", "cat", 0),
        (exact_text, "cat.", "cat", 0),
        (exact_text, "the  cat", "the cat", 0),
        # the reference occurs in the answer as whole words
        (contains, "It is a cat, I think.", "Cat", 1),
        (contains, "a black cat", "black  cat.", 1),
        (contains, "concatenate", "cat", 0),
        (contains, "cats", "cat", 0),
        (contains, "cat", "a cat", 0),
        (contains, "it costs $5 (five)", "$5", 1),
        (contains, "a.c", "a.c", 1),
        (contains, "abc", "a.c", 0),
        # the same comma- or space-separated items in any order
        (set_match, "cat, dog", "dog, cat", 1),
        (set_match, "Dog,cat.", "cat, dog", 1),
        (set_match, "dog cat", "cat, dog", 1),
        (set_match, "polar bear, cat", "cat, polar bear", 1),
        (set_match, "bear, cat", "cat, polar bear", 0),
        (set_match, "cat, dog", "cat", 0),
        (set_match, "cat, cat", "cat", 0),
        # harmonic mean of precision and recall over normalised words
        (f1, "the red house", "The red house!", 1),
        (f1, "red", "red house", 2 / 3),
        (f1, "house red", "red house", 1),
        (f1, "red red", "red", 2 / 3),
        (f1, "blue", "red", 0),
        (f1, "", "red", 0),
        (f1, "", "", 1),
    ],
)
def test_values(metric, answer, reference, value):
    assert metric(answer, reference) == pytest.approx(value)


@pytest.mark.parametrize("metric", [exact_match, exact_text, set_match, f1])
@given(a=texts, b=texts)
def test_symmetric(metric, a, b):
    assert metric(a, b) == pytest.approx(metric(b, a))


@pytest.mark.parametrize("metric", list(METRICS.values()), ids=list(METRICS))
@given(a=texts, b=texts)
def test_a_text_equals_itself_and_values_lie_between_0_and_1(metric, a, b):
    assert 0.0 <= metric(a, b) <= 1.0
    if normalise(a):
        assert metric(a, a) == 1.0


@given(a=texts, b=texts)
def test_the_stricter_metric_never_scores_higher(a, b):
    assert exact_text(a, b) <= exact_match(a, b) <= set_match(a, b)


def test_contains_is_not_symmetric():
    assert contains("a cat", "cat") != contains("cat", "a cat")


@given(st.lists(st.sampled_from(["a", "b", "c", "red house"]), min_size=1, max_size=4))
def test_best_of_is_the_maximum(references):
    for metric in (exact_match, f1, contains):
        for answer in ("a", "red", "red house"):
            expected = max(metric(answer, r) for r in references)
            assert best_of(metric)(answer, "\n".join(references)) == expected


def test_best_of_keeps_the_name_for_artefacts():
    assert best_of(set_match).__name__ == "set_match"


def test_metrics_by_name():
    assert get_metric("f1") is f1
    known = "exact_match, exact_text, contains, set_match, f1"
    with pytest.raises(TaskError, match=f"unknown metric 'bleu'; known: {known}"):
        get_metric("bleu")
