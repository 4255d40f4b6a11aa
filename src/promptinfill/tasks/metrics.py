"""Metrics: one answer against one reference, in 0..1.

Each is a plain function (answer, reference) -> float. None of them forgives a wrong word order or
extra words; where an answer may wrap the reference, use ``contains``.
"""

import re
from collections import Counter
from collections.abc import Callable

from promptinfill.errors import TaskError

Metric = Callable[[str, str], float]


def exact_match(answer: str, reference: str) -> float:
    """1 when both are equal up to case, white space and one final full stop, else 0."""
    return float(normalise(answer) == normalise(reference))


def exact_text(answer: str, reference: str) -> float:
    """1 when both are equal up to surrounding white space (case counts), else 0."""
    return float(answer.strip() == reference.strip())


def contains(answer: str, reference: str) -> float:
    """1 when the normalised reference occurs in the answer as whole words, else 0."""
    pattern = rf"(?<!\w){re.escape(normalise(reference))}(?!\w)"
    return float(re.search(pattern, normalise(answer)) is not None)


def set_match(answer: str, reference: str) -> float:
    """1 when both hold the same comma- or space-separated items in any order, else 0."""
    return float(Counter(_items(answer)) == Counter(_items(reference)))


def f1(answer: str, reference: str) -> float:
    """Token F1 of SQuAD: harmonic mean of precision and recall over normalised words."""
    a, b = Counter(_words(answer)), Counter(_words(reference))
    common = (a & b).total()
    if common == 0:
        return float(a == b)
    return 2 * common / (a.total() + b.total())


def normalise(text: str) -> str:
    """Lower case, single spaces, no surrounding white space, no final full stop."""
    return " ".join(text.lower().split()).removesuffix(".").strip()


def _items(text: str) -> list[str]:
    separator = "," if "," in text else " "
    return [item.strip() for item in normalise(text).split(separator) if item.strip()]


def _words(text: str) -> list[str]:
    return re.findall(r"\w+", text.lower())


METRICS: dict[str, Metric] = {
    "exact_match": exact_match,
    "exact_text": exact_text,
    "contains": contains,
    "set_match": set_match,
    "f1": f1,
}


def get_metric(name: str) -> Metric:
    """A metric by name; TaskError lists the known ones."""
    if name not in METRICS:
        raise TaskError(f"unknown metric {name!r}; known: {', '.join(METRICS)}")
    return METRICS[name]


def best_of(metric: Metric) -> Metric:
    """The best value over several references, written one a line in the reference text."""

    def any_reference(answer: str, reference: str) -> float:
        return max(metric(answer, line) for line in reference.split("\n"))

    any_reference.__name__ = getattr(metric, "__name__", "metric")
    return any_reference
