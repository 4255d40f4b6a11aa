"""Numbers about texts, on texts whose numbers are known."""

import math

import pytest

from promptinfill.evaluation.texts import distinct, failure_kind, repetition, self_bleu


def test_distinct_counts_over_all_texts():
    assert distinct(["a b", "a b"], 1) == 0.5
    assert distinct(["a b c", "d e f"], 2) == 1
    assert math.isnan(distinct(["", "a"], 2))


def test_repetition_is_within_a_text():
    assert repetition("a b c d") == 0
    assert repetition("a b a b") == pytest.approx(1 / 3)
    assert repetition("a") == 0


def test_self_bleu_of_equal_and_of_unlike_texts():
    pytest.importorskip("sacrebleu")
    assert self_bleu(["the cat sat on the mat"] * 3) == pytest.approx([1, 1, 1])
    assert max(self_bleu(["one two three four", "five six seven eight"])) < 0.1
    assert self_bleu(["alone"]) == []


@pytest.mark.parametrize(
    ("answer", "reference", "given", "kind"),
    [
        ("", "x", "", "no answer"),
        ("Cat.", "cat", "", "case, spaces or punctuation"),
        ("red fox", "fox", "red fox", "copy of the input"),
        ("b a", "a b", "a, b", "right words, wrong order"),
        ("it is a fox here", "a fox", "", "right answer and more"),
        ("a red", "a red fox", "", "part of the right answer"),
        ("horsse", "horse", "", "near miss (few characters off)"),
        ("big dog", "cow", "the big dog ran", "wrong part of the input"),
        ("ja", "j", "jar", "wrong part of the input"),
        ("17", "23", "8 9", "wrong number"),
        ("17", "banana", "", "another answer"),
    ],
)
def test_failures_by_kind(answer, reference, given, kind):
    assert failure_kind(answer, reference, given) == kind
