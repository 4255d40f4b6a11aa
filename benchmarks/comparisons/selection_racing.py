"""Successive halving against exhaustive validation: calls, and whether the same prompt wins."""

import time
from collections.abc import Sequence
from typing import Any

import numpy as np

from harness import Report, peak_memory
from promptinfill.evaluation.scoring import answer_room, score_answer
from promptinfill.evaluation.statistics import bootstrap_mean
from promptinfill.infilling.candidates import (
    Candidate,
    InfillOptions,
    batches,
    collect,
    draw_fillings,
    make_plans,
)
from promptinfill.infilling.selection import SelectionOptions, select
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.targets.diffusion import DiffusionTarget
from promptinfill.tasks import Splits, Task, get_task
from promptinfill.templates import Template

MODEL = "embedded:best"
TASKS = ("first_letter", "last_item", "count_items", "sum", "larger_number", "plural")
CANDIDATES, ROWS, ORDERS = 32, 64, 50
HALVING, EXHAUSTIVE = SelectionOptions(), SelectionOptions(exhaustive=True)


def selection_racing() -> Report:
    """Every (candidate, row) is answered once; races over shuffled rows read the recorded scores.

    Each race is paired with an exhaustive selection over the same rows in the same order.
    """
    sides: dict[str, dict[str, Any]] = {
        name: {"calls": 0, "seconds": 0.0} for name in ("baseline", "ours")
    }
    same = equal_or_same = races = 0
    for name in TASKS:
        task = get_task(name, Splits(examples=20, validation=ROWS, test=1))
        found, answers = _Answers.of(task)
        # Timed once over real calls, then replayed.
        sides["baseline"]["seconds"] += answers.timed(found, EXHAUSTIVE)
        sides["ours"]["seconds"] += answers.timed(found, HALVING)
        for order in range(ORDERS):
            rows = np.random.default_rng(order).permutation(ROWS)
            winners = {}
            for side, options in (("baseline", EXHAUSTIVE), ("ours", HALVING)):
                winner, calls = answers.race(found, rows, options)
                winners[side] = winner
                sides[side]["calls"] += calls
            full, raced = winners["baseline"], winners["ours"]
            same += full == raced
            equal_or_same += full == raced or answers.as_good(raced, full)
            races += 1
    for side, options in (("baseline", EXHAUSTIVE), ("ours", HALVING)):
        sides[side]["seconds"] = round(sides[side]["seconds"], 3)
        sides[side]["memory_mib"] = peak_memory(_process, options)
    share = sides["ours"]["calls"] / sides["baseline"]["calls"]
    return Report(
        "selection_racing",
        f"{MODEL}, {len(TASKS)} tasks, up to {CANDIDATES} candidates on {ROWS} validation rows; "
        f"{ORDERS} shuffles of the rows a task",
        sides["baseline"],
        sides["ours"],
        equal_or_same / races >= 0.95,
        "in at least 95% of the races the winner is exhaustive validation's, or one whose paired "
        "difference to it over all rows has a bootstrap interval (95%) that holds 0",
        ORDERS,
        {
            "calls_share": round(share, 4),
            "same_winner": round(same / races, 4),
            "same_or_equal_winner": round(equal_or_same / races, 4),
            "races": races,
        },
    )


class _Answers:
    """Scores of every candidate on every row, filled by asking the target."""

    def __init__(self, task: Task, target: DiffusionTarget, found: Sequence[Candidate]) -> None:
        self.task, self.target = task, target
        self.room = answer_room(target, task.response, [*task.examples, *task.validation])
        self.prompts = {c.number: Template(c.prompt, task.response) for c in found}
        self.scores: dict[tuple[int, int], float] = {}
        self._good: dict[tuple[int, int], bool] = {}

    @classmethod
    def of(cls, task: Task) -> "tuple[list[Candidate], _Answers]":
        dlm = MaskedDiffusionLM.from_pretrained(MODEL, device="cpu")
        target = DiffusionTarget(dlm)
        template = Template(task.template, task.response)
        options = InfillOptions()
        plans = make_plans(template, len(task.examples), CANDIDATES, 0, options)
        draws = []
        for group in batches(plans, options.batch_size):
            draws += draw_fillings(dlm, template, task.examples, group, options)["draws"]
        found, _ = collect(template, plans, draws, target.count_tokens)
        return found, cls(task, target, found)

    def ask(self, pairs: list[tuple[Candidate, int]]) -> list[float]:
        rows = self.task.validation
        prompts = [self.prompts[c.number].prompt(rows[i]) for c, i in pairs]
        answers, _ = self.target.answer(prompts, max_tokens=self.room)
        values = [
            score_answer(self.task.metric, answer, rows[i], self.task.response)
            for answer, (_, i) in zip(answers, pairs, strict=True)
        ]
        for (candidate, i), value in zip(pairs, values, strict=True):
            self.scores[candidate.number, i] = value
        return values

    def timed(self, found: Sequence[Candidate], options: SelectionOptions) -> float:
        _clear(found)
        started = time.perf_counter()
        select(found, len(self.task.validation), self.ask, options)
        return time.perf_counter() - started

    def race(
        self, found: Sequence[Candidate], rows: np.ndarray, options: SelectionOptions
    ) -> tuple[int, int]:
        """The winner's number, and how many calls it took."""
        _clear(found)
        calls = 0

        def recorded(pairs: list[tuple[Candidate, int]]) -> list[float]:
            nonlocal calls
            calls += len(pairs)
            return [self.scores[candidate.number, int(rows[i])] for candidate, i in pairs]

        return select(found, len(rows), recorded, options)[0].number, calls

    def as_good(self, one: int, other: int) -> bool:
        """Whether the paired difference over all rows may be 0 (bootstrap, 95%)."""
        if (one, other) not in self._good:
            count = len(self.task.validation)
            difference = [self.scores[one, i] - self.scores[other, i] for i in range(count)]
            interval = bootstrap_mean(difference)
            self._good[one, other] = interval.low <= 0 <= interval.high
        return self._good[one, other]


def _clear(found: Sequence[Candidate]) -> None:
    for candidate in found:
        candidate.scores.clear()


def _process(options: SelectionOptions) -> None:
    found, answers = _Answers.of(get_task(TASKS[0], Splits(examples=20, validation=16, test=1)))
    answers.timed(found, options)
