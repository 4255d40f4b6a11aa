"""Tasks: rows with named fields, a metric, a hand-written prompt, fixed splits.

``get_task("first_letter")`` or ``get_task("instruction_induction/sum")``; each kind of task is one
file of this package.
"""

from collections.abc import Callable
from dataclasses import dataclass, field

from promptinfill.errors import TaskError
from promptinfill.tasks.metrics import Metric

Row = dict[str, str]


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
        examples, validation, test: disjoint rows. A row may hold "references", one a line, when
            several answers are right; the metric then takes the best.
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


Loader = Callable[[str, Splits], Task]


def _loaders() -> dict[str, tuple[Callable[[], list[str]], Loader]]:
    from promptinfill.tasks import instruction_induction, microtasks

    return {
        "": (microtasks.names, microtasks.load),
        "instruction_induction": (instruction_induction.names, instruction_induction.load),
    }


def task_names() -> list[str]:
    """Every task that can be opened here; data sets whose files are absent are left out."""
    names = []
    for prefix, (list_names, _) in _loaders().items():
        names += [f"{prefix}/{name}" if prefix else name for name in list_names()]
    return names


def get_task(name: str, splits: Splits | None = None) -> Task:
    """Open a task by name; TaskError says which are known, or which data is missing."""
    prefix, slash, rest = name.rpartition("/")
    loaders = _loaders()
    if prefix not in loaders:
        known = ", ".join(p for p in loaders if p)
        raise TaskError(f"unknown task family {prefix!r} in {name!r}; known: {known}")
    return loaders[prefix][1](rest, splits or Splits())


def split_rows(rows: list[Row], splits: Splits, *, test: list[Row] | None = None) -> list[list[Row]]:
    """Shuffle by seed and cut into disjoint examples, validation and test rows.

    Args:
        rows: the pool; rows of equal text count once.
        test: a separate test set to draw from instead of the pool. Pool rows that occur in it are
            left out of examples and validation.
    """
    import random

    rng = random.Random(splits.seed)
    banned = {tuple(sorted(row.items())) for row in test or ()}
    pool = [
        row
        for row in {tuple(sorted(r.items())): r for r in rows}.values()
        if tuple(sorted(row.items())) not in banned
    ]
    rng.shuffle(pool)
    shown = pool[: splits.examples]
    validation = pool[splits.examples : splits.examples + splits.validation]
    rest = pool[splits.examples + splits.validation :] if test is None else list(test)
    if test is not None:
        rng.shuffle(rest)
    return [shown, validation, rest[: splits.test]]
