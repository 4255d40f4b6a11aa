"""One answer against one row, and one prompt against many."""

import math
from collections.abc import Mapping, Sequence

from promptinfill.errors import PromptInfillError
from promptinfill.targets import Target
from promptinfill.tasks.metrics import Metric
from promptinfill.templates import Template


def score_answer(metric: Metric, answer: str, row: Mapping[str, str], response: str) -> float:
    """The metric of ``answer`` against the row's right answer, or the best over several.

    Args:
        metric: (answer, reference) -> 0..1.
        answer: of a target.
        row: may hold "references", the right answers one a line, besides its fields.
        response: the field that holds the right answer of a row without references.

    Raises:
        PromptInfillError: the metric gives NaN or infinity, which no mean could be told from.
    """
    references = row.get("references")
    best = -math.inf
    for reference in references.split("\n") if references else [row[response]]:
        value = float(metric(answer, reference))
        if not math.isfinite(value):
            raise PromptInfillError(
                f"the metric {metric_name(metric)} gives {value} for the answer {answer!r} and the "
                f"reference {reference!r}: it must give a number in 0..1"
            )
        best = max(best, value)
    return best


def answer_room(target: Target, response: str, rows: Sequence[Mapping[str, str]]) -> int:
    """Tokens to allow an answer: those of the longest right one in ``rows``, and two more."""
    return 2 + max(target.count_tokens(" " + row[response]) for row in rows)


def prompt_accuracy(
    prompt: Template,
    response: str,
    rows: Sequence[Mapping[str, str]],
    *,
    target: Target,
    metric: Metric,
    max_tokens: int,
) -> float:
    """Mean metric of a prompt without holes over ``rows``; see :func:`score_answer`."""
    answers, _ = target.answer([prompt.prompt(row) for row in rows], max_tokens=max_tokens)
    scores = [score_answer(metric, a, row, response) for a, row in zip(answers, rows, strict=True)]
    return math.fsum(scores) / len(scores)


def metric_name(metric: Metric) -> str:
    """A name for artefacts, the same in every process (a repr may hold an address)."""
    name: str = getattr(metric, "__name__", type(metric).__name__)
    return name
