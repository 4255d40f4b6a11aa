"""Tasks: rows with named fields, a metric, a hand-written prompt, fixed splits.

``get_task("first_letter")`` or ``get_task("instruction_induction/sum")``; each kind of task is one
file of this package.
"""

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field

from promptinfill.errors import TaskError
from promptinfill.tasks.metrics import Metric

Row = dict[str, str]
InputKey = tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Splits:
    """How many rows of each kind, and the seed that draws them."""

    examples: int = 20
    validation: int = 24
    test: int = 50
    seed: int = 0


@dataclass(frozen=True)
class Task:
    """One task, with its rows already split.

    Attributes:
        name: as given on the command line.
        description: one line.
        template: with a hole, for infilling; its response field is ``response``.
        manual: hand-written prompts over the same fields; the first is the one compared with.
        examples, validation, test: rows, no input in two of them. A row may hold "references",
            one a line, when several answers are right; the metric then takes the best.
        metric: (answer, reference) -> 0..1.
    """

    name: str
    description: str
    template: str
    response: str
    manual: tuple[str, ...]
    examples: list[Row]
    validation: list[Row]
    test: list[Row]
    metric: Metric
    notes: str = field(default="")


@dataclass(frozen=True)
class Summary:
    """What a list of tasks shows of one, without opening it; see :class:`Task`."""

    name: str
    description: str
    notes: str = field(default="")


Loader = Callable[[str, Splits], Task]


def _loaders() -> dict[str, tuple[Callable[[], list[Summary]], Loader]]:
    from promptinfill.tasks import instruction_induction, microtasks

    return {
        "": (microtasks.summaries, microtasks.load),
        "instruction_induction": (instruction_induction.summaries, instruction_induction.load),
    }


def task_summaries() -> list[Summary]:
    """Every task that can be opened here; data sets whose files are absent are left out.

    No row is read or made.
    """
    return [summary for list_all, _ in _loaders().values() for summary in list_all()]


def task_names() -> list[str]:
    """The names of :func:`task_summaries`."""
    return [summary.name for summary in task_summaries()]


def get_task(name: str, splits: Splits | None = None) -> Task:
    """Open a task by name; TaskError says which are known, or which data is missing."""
    prefix, _, rest = name.rpartition("/")
    loaders = _loaders()
    if prefix not in loaders:
        known = ", ".join(p for p in loaders if p)
        raise TaskError(f"unknown task family {prefix!r} in {name!r}; known: {known}")
    return loaders[prefix][1](rest, splits or Splits())


def split_rows(
    rows: list[Row], splits: Splits, *, response: str, test: list[Row] | None = None
) -> list[list[Row]]:
    """Shuffle by seed and cut into examples, validation and test rows, disjoint by input.

    Where there are fewer rows than wanted, each of the three gets its share.

    Args:
        rows: the pool; of rows with equal input, whatever their answer, the first counts.
        splits: how many rows of each kind, and the seed.
        response: the field that is not input.
        test: a separate test set to draw from instead of the pool. Pool rows whose input occurs in
            it are left out of examples and validation, drawn or not.
    """

    rng = random.Random(splits.seed)
    banned = {input_key(row, response) for row in test or ()}
    pool = distinct_inputs(rows, response, without=banned)
    rng.shuffle(pool)
    sizes = [splits.examples, splits.validation, splits.test if test is None else 0]
    ends = list(itertools.accumulate(_shares(len(pool), sizes)))
    rest = pool[ends[1] : ends[2]]
    if test is not None:
        rest = list(test)
        rng.shuffle(rest)
    return [pool[: ends[0]], pool[ends[0] : ends[1]], rest[: splits.test]]


def input_key(row: Row, response: str) -> InputKey:
    """What a row asks, without its answers: splits are disjoint by this."""
    return tuple(sorted((k, v) for k, v in row.items() if k not in (response, "references")))


def distinct_inputs(rows: list[Row], response: str, *, without: set[InputKey]) -> list[Row]:
    """The first row of each input, in order, less the inputs of ``without``."""
    distinct: dict[InputKey, Row] = {}
    for row in rows:
        distinct.setdefault(input_key(row, response), row)
    return [row for key, row in distinct.items() if key not in without]


def _shares(available: int, sizes: list[int]) -> list[int]:
    """``sizes``, or their shares of what there is; what rounding leaves goes to the largest."""
    wanted = sum(sizes)
    if available >= wanted:
        return sizes
    shares = [available * size // wanted for size in sizes]
    shares[sizes.index(max(sizes))] += available - sum(shares)
    return shares
