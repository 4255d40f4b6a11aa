"""The five claims, each a decision rule over cells; rules and margins are fixed before any run.

Every figure is a mean over tasks of a paired quantity (seeds and rows averaged within a task), and
its interval a 95 % bootstrap over tasks, because a claim is about tasks that were not tried. With
few tasks such an interval is rough. "Does not hold" means that the rule was not met here: refuted,
or merely not shown; ``reason`` tells which part failed, and by what.
"""

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import product
from statistics import fmean
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from promptinfill.evaluation.experiment import Chosen, Experiment
from promptinfill.evaluation.statistics import Interval, bootstrap_mean, holm, paired_p_value

Verdict = Literal["holds", "does not hold", "not tested"]

STATEMENTS = {
    1: "response-only locks prompt infilling, full-sequence unlocks it, two-stage keeps it",
    2: "infilled prompts match or surpass manual ones",
    3: "infilled prompts transfer to other models",
    4: "infilling combines with prompt optimizers",
    5: "infilled prompts are shorter than manual ones",
}


class Rules(BaseModel):
    """The margins of the verdicts, in accuracy (0..1).

    ``unlocked_share``: a model is unlocked when its own prompts reach more than this share of its
    accuracy under manual prompts, and locked when they reach less. ``match_margin``: an infilled
    prompt matches when the interval of infilled - manual lies above minus this. ``transfer_margin``
    and ``combine_margin`` are the same for prompts of other models and for optimizers.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    unlocked_share: float = Field(default=0.5, gt=0, le=1)
    match_margin: float = Field(default=0.05, ge=0)
    transfer_margin: float = Field(default=0.05, ge=0)
    combine_margin: float = Field(default=0.0, ge=0)


@dataclass(frozen=True)
class Part:
    """One inequality of a claim: the interval of ``figure`` against ``bound``."""

    statement: str
    figure: float
    low: float
    high: float
    n: int
    rule: str
    holds: bool


@dataclass(frozen=True)
class Claim:
    """One line of the final table. ``figure`` is None when the claim was not tested."""

    id: int
    statement: str
    figure: float | None
    low: float | None
    high: float | None
    verdict: Verdict
    reason: str
    parts: list[Part] = field(default_factory=list)


def above(statement: str, values: Sequence[float], bound: float) -> Part:
    """Holds when the whole interval of the mean of ``values`` lies above ``bound``."""
    found = bootstrap_mean(values)
    rule = f"low > {bound:+.2f}"
    return _part(statement, found, rule, found.low > bound)


def below(statement: str, values: Sequence[float], bound: float) -> Part:
    """Holds when the whole interval lies below ``bound``."""
    found = bootstrap_mean(values)
    return _part(statement, found, f"high < {bound:+.2f}", found.high < bound)


def not_below(statement: str, values: Sequence[float], margin: float) -> Part:
    """Holds when no part of the interval lies below minus ``margin``."""
    found = bootstrap_mean(values)
    return _part(statement, found, f"low >= {-margin:+.2f}", found.low >= -margin)


def _part(statement: str, found: Interval, rule: str, holds: bool) -> Part:
    return Part(statement, found.score, found.low, found.high, found.n, rule, holds)


def decide(number: int, parts: Sequence[Part], headline: int = 0) -> Claim:
    """A claim holds when each of its parts does; ``headline`` is the part whose figure it shows."""
    shown = parts[headline]
    failed = [p for p in parts if not p.holds]
    reason = "; ".join(
        f"{p.statement}: {p.figure:+.3f} ({p.low:+.3f} to {p.high:+.3f}), needs {p.rule}"
        for p in failed
    )
    return Claim(
        number,
        STATEMENTS[number],
        shown.figure,
        shown.low,
        shown.high,
        "does not hold" if failed else "holds",
        reason or "every part of the rule is met",
        list(parts),
    )


def not_tested(number: int, reason: str) -> Claim:
    """A claim without data."""
    return Claim(number, STATEMENTS[number], None, None, None, "not tested", reason)


@dataclass(frozen=True)
class Roles:
    """Which model of a run plays which part; "" where none does."""

    response_only: str = ""
    full_sequence: str = ""
    two_stage: str = ""
    main: str = ""


@dataclass(frozen=True)
class Grid:
    """Tasks and seeds that a claim is tested over."""

    experiment: Experiment
    tasks: Sequence[str]
    seeds: Sequence[int]

    def by_task(self, value: Callable[[str, int], float]) -> list[float]:
        """``value(task, seed)`` averaged over seeds, one number a task."""
        return [fmean(value(task, seed) for seed in self.seeds) for task in self.tasks]

    def infilled(self, model: str, target: str | None = None) -> Callable[[str, int], float]:
        """Test accuracy of the prompt that ``model`` filled, on ``target`` (itself by default)."""
        return self._accuracy(self.experiment.infilled, model, target)

    def manual(self, model: str) -> Callable[[str, int], float]:
        """Test accuracy of the hand-written prompt that validation chose."""
        return self._accuracy(self.experiment.manual, model, None)

    def _accuracy(
        self, choose: Callable[[str, str, int], Chosen], model: str, target: str | None
    ) -> Callable[[str, int], float]:
        def accuracy(task: str, seed: int) -> float:
            prompt = choose(model, task, seed).prompt
            scores = self.experiment.tested(target or model, prompt, task, seed)
            return math.fsum(scores) / len(scores)

        return accuracy


def unlocking(grid: Grid, roles: Roles, rules: Rules) -> Claim:
    """Claim 1. Accuracy of a model's own prompts, less the share of manual that says "unlocked"."""
    share = rules.unlocked_share
    if not (roles.response_only and roles.full_sequence and roles.two_stage):
        return not_tested(1, "needs models for response_only, full_sequence and two_stage")

    def beyond(model: str) -> list[float]:
        infilled, manual = grid.infilled(model), grid.manual(model)
        return grid.by_task(lambda task, seed: infilled(task, seed) - share * manual(task, seed))

    own, locked = grid.infilled(roles.full_sequence), grid.infilled(roles.response_only)
    gain = grid.by_task(lambda task, seed: own(task, seed) - locked(task, seed))
    part = f"infilled - {share:g} x manual"
    return decide(
        1,
        [
            above("infilled, full-sequence - response-only", gain, 0),
            below(f"response-only is locked: {part}", beyond(roles.response_only), 0),
            above(f"full-sequence is unlocked: {part}", beyond(roles.full_sequence), 0),
            above(f"two-stage stays unlocked: {part}", beyond(roles.two_stage), 0),
        ],
    )


def matching(grid: Grid, roles: Roles, rules: Rules) -> Claim:
    """Claim 2. Infilled - manual, both chosen on the same validation rows of the same model."""
    if not roles.main:
        return not_tested(2, "needs a main model")
    infilled, manual = grid.infilled(roles.main), grid.manual(roles.main)
    gain = grid.by_task(lambda task, seed: infilled(task, seed) - manual(task, seed))
    return decide(2, [not_below(f"infilled - manual on {roles.main}", gain, rules.match_margin)])


def transferring(grid: Grid, sources: Sequence[str], targets: Sequence[str], rules: Rules) -> Claim:
    """Claim 3. Prompts of A on B - manual prompts on B, over all pairs of different models."""
    print_of = grid.experiment.fingerprint
    pairs = [(a, b) for a, b in product(sources, targets) if print_of(a) != print_of(b)]
    if not pairs:
        return not_tested(3, "needs two different models")

    def drop(task: str, seed: int) -> float:
        return fmean(grid.infilled(a, b)(task, seed) - grid.manual(b)(task, seed) for a, b in pairs)

    statement = f"prompt of another model - manual, {len(pairs)} pairs"
    return decide(3, [not_below(statement, grid.by_task(drop), rules.transfer_margin)])


def shortening(grid: Grid, roles: Roles) -> Claim:
    """Claim 5. Tokens of the infilled prompt - tokens of the manual one."""
    if not roles.main:
        return not_tested(5, "needs a main model")

    def saved(task: str, seed: int) -> float | None:
        infilled = grid.experiment.infilled(roles.main, task, seed).tokens
        manual = grid.experiment.manual(roles.main, task, seed).tokens
        return None if infilled is None or manual is None else infilled - manual

    values = []
    for task in grid.tasks:
        found = [v for seed in grid.seeds if (v := saved(task, seed)) is not None]
        if found:
            values.append(fmean(found))
    if not values:
        return not_tested(5, f"{roles.main} found no usable prompt")
    return decide(5, [below(f"tokens, infilled - manual on {roles.main}", values, 0)])


@dataclass(frozen=True)
class Comparison:
    """One variant of an ablation against its baseline."""

    variant: str
    figure: float
    difference: float
    low: float
    high: float
    p_value: float
    p_holm: float


def compare_variants(
    baseline: Sequence[float], variants: dict[str, Sequence[float]]
) -> list[Comparison]:
    """Each variant's mean and its paired difference from ``baseline``, Holm over all variants."""
    gaps = {
        name: [a - b for a, b in zip(values, baseline, strict=True)]
        for name, values in variants.items()
    }
    p_values = [paired_p_value(values, baseline) for values in variants.values()]
    out = []
    for (name, values), p, adjusted in zip(variants.items(), p_values, holm(p_values), strict=True):
        found = bootstrap_mean(gaps[name])
        out.append(Comparison(name, fmean(values), found.score, found.low, found.high, p, adjusted))
    return out


def combined_rows(
    pairs: dict[tuple[str, str], tuple[Sequence[float], Sequence[float]]],
) -> list[dict[str, Any]]:
    """(alone, combined) -> their accuracies by task, as rows with paired differences and Holm."""
    p_values = [paired_p_value(combined, alone) for alone, combined in pairs.values()]
    rows = []
    for ((name, with_infilling), (alone, combined)), p, adjusted in zip(
        pairs.items(), p_values, holm(p_values), strict=True
    ):
        gaps = [a - b for a, b in zip(combined, alone, strict=True)]
        found = bootstrap_mean(gaps)
        rows.append(
            {
                "alone": name,
                "combined": with_infilling,
                "alone_figure": fmean(alone),
                "figure": fmean(combined),
                "difference": found.score,
                "low": found.low,
                "high": found.high,
                "p_value": p,
                "p_holm": adjusted,
                "by_task": gaps,
            }
        )
    return rows


def combining(rows: Sequence[dict[str, Any]], rules: Rules) -> Claim:
    """Claim 4. Combined - alone at equal budget, averaged over pairs within a task."""
    if not rows:
        return not_tested(4, "this suite has no optimizers")
    gaps = [fmean(values) for values in zip(*(row["by_task"] for row in rows), strict=True)]
    statement = f"with infilling - optimizer alone, {len(rows)} pairs"
    return decide(4, [above(statement, gaps, rules.combine_margin)])
