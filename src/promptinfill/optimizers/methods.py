"""Every method by name, on one task, with one budget: what `reproduce` and the benchmarks call."""

import random
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

from promptinfill.errors import PromptInfillError
from promptinfill.evaluation.scoring import answer_room, metric_name, score_answer
from promptinfill.evaluation.statistics import Interval, bootstrap_mean
from promptinfill.infilling.candidates import InfillOptions
from promptinfill.infilling.run import Run
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.optimizers import searches
from promptinfill.optimizers.guards import Guards
from promptinfill.optimizers.proposers import InfillProposer, TextProposer
from promptinfill.optimizers.remask import header_words, remask
from promptinfill.optimizers.scorer import Scorer
from promptinfill.targets import Cost, Target
from promptinfill.targets.diffusion import DiffusionTarget
from promptinfill.tasks import Task
from promptinfill.templates import Template

SEED_INSTRUCTION = "Give the output for the input."
"""Where searches begin that need a beginning: it says nothing about the task."""


@dataclass(frozen=True)
class Optimized:
    """What one method found, and what it spent.

    Attributes:
        method: its name.
        prompt: in template syntax; the seed instruction if nothing usable was found.
        score: mean over all validation rows.
        tokens: length of the prompt, fields empty, in the target's tokens.
        metric_calls: prompts answered and scored; at most the budget.
        target_cost: what answering cost (rows through the model, tokens).
        proposer_cost: what proposing cost.
        rejected: proposals that the guards refused, by reason.
        seconds: wall clock.
        test: score on the task's test rows, which no method sees; outside the budget.
    """

    method: str
    prompt: str
    score: float
    tokens: int
    metric_calls: int
    target_cost: Cost
    proposer_cost: Cost
    rejected: dict[str, int] = field(default_factory=dict)
    seconds: float = 0.0
    test: Interval | None = None


@dataclass
class Job:
    """What a method works on."""

    task: Task
    template: Template
    dlm: MaskedDiffusionLM
    proposing: Target
    scorer: Scorer
    guards: Guards
    seed: int
    options: InfillOptions
    proposers: list[InfillProposer | TextProposer] = field(default_factory=list)

    @property
    def start(self) -> str:
        """The seed instruction over the task's own fields."""
        fillings = [SEED_INSTRUCTION] * len(self.template.holes)
        return str(self.template.fill(fillings))

    def infilling(self) -> InfillProposer:
        """A dLM that fills."""
        made = InfillProposer(
            self.dlm, self.template, self.task.examples, self.options, unit=self.scorer.unit
        )
        self.proposers.append(made)
        return made

    def asking(self, style: Literal["ape", "opro"]) -> TextProposer:
        """A target that is asked; ``style`` is "ape" or "opro"."""
        made = TextProposer(
            self.proposing, self.template, self.task.examples, style, unit=self.scorer.unit
        )
        self.proposers.append(made)
        return made

    def part(self) -> dict[str, Any]:
        """The arguments that every search takes."""
        return {"scorer": self.scorer, "guards": self.guards, "seed": self.seed}

    def best(self) -> str:
        """The best prompt so far, or the start."""
        found = self.scorer.validated()
        return found[0][0] if found else self.start


def _manual(job: Job) -> None:
    job.scorer.validate(job.task.manual[0])


def _infill(job: Job) -> None:
    searches.one_shot(job.infilling(), **job.part())


def _ape(job: Job) -> None:
    searches.ape(job.asking("ape"), **job.part())


def _ape_infill(job: Job) -> None:
    searches.ape(job.infilling(), **job.part())


def _opro(job: Job) -> None:
    job.scorer.validate(job.start)
    searches.opro(job.asking("opro"), **job.part())


def _opro_infill(job: Job) -> None:
    job.scorer.validate(job.start)
    searches.opro(job.infilling(), **job.part())


def _refine(job: Job) -> None:
    _refine_from(job, job.start)


def _refine_from(job: Job, start: str) -> None:
    searches.refine(start, job.dlm, job.task.examples, proposer=job.infilling(), **job.part())


def _gepa(job: Job) -> None:
    from promptinfill.integrations.gepa import search

    search(job.start, job.asking("opro"), **job.part())


def _gepa_infill(job: Job) -> None:
    from promptinfill.integrations.gepa import search

    search(job.start, job.infilling(), **job.part())


def _infill_then_gepa(job: Job) -> None:
    from promptinfill.integrations.gepa import search

    _half(job, lambda: _infill(job))
    search(job.best(), job.asking("opro"), **job.part())


def _gepa_then_infill(job: Job) -> None:
    _half(job, lambda: _gepa(job))
    _refine_from(job, job.best())


def _mipro(job: Job) -> None:
    from promptinfill.integrations.dspy import search_mipro

    search_mipro(job.start, job.asking("ape"), **job.part())


def _mipro_infill(job: Job) -> None:
    from promptinfill.integrations.dspy import search_mipro

    search_mipro(job.start, job.infilling(), **job.part())


def _half(job: Job, work: Callable[[], None]) -> None:
    """Run ``work`` with half of what is left."""
    budget = job.scorer.budget
    job.scorer.budget = budget - job.scorer.remaining // 2
    work()
    job.scorer.budget = budget


METHODS: dict[str, Callable[[Job], None]] = {
    "manual": _manual,
    "infill": _infill,
    "ape": _ape,
    "ape+infill": _ape_infill,
    "opro": _opro,
    "opro+infill": _opro_infill,
    "refine": _refine,
    "gepa": _gepa,
    "gepa+infill": _gepa_infill,
    "infill>gepa": _infill_then_gepa,
    "gepa>infill": _gepa_then_infill,
    "mipro": _mipro,
    "mipro+infill": _mipro_infill,
}
"""a+b: optimizer a with b as its proposal step; a>b: half of the budget each, b from a's result."""


def optimize_prompt(
    method: str,
    task: Task,
    *,
    dlm: MaskedDiffusionLM,
    target: Target | MaskedDiffusionLM | None = None,
    budget: int = 300,
    seed: int = 0,
    proposing: Target | None = None,
    max_prompt_tokens: int | None = None,
    options: InfillOptions | None = None,
    folder: str | Path | None = None,
    test: bool = False,
) -> Optimized:
    """Run one method on one task.

    Args:
        method: a key of :data:`METHODS`. Those with gepa or mipro need ``promptinfill[gepa]`` or
            ``promptinfill[mipro]``.
        task: its examples are what proposers see, its validation rows decide.
        dlm: fills holes, for the methods that infill.
        target: answers the prompts; default ``dlm``.
        budget: metric calls, never exceeded; a (prompt, row) pair costs one, once.
        seed: equal seeds give equal results.
        proposing: the model asked in words by ape, opro, gepa and mipro; default the target.
        max_prompt_tokens: longest prompt allowed.
        options: how holes are filled.
        folder: run folder; the same call continues a killed one and ends with the same result.
        test: score the result on the task's test rows as well.

    Raises:
        PromptInfillError: unknown method, or a budget below one full validation.
    """
    if method not in METHODS:
        raise PromptInfillError(f"unknown method {method!r}; known: {', '.join(METHODS)}")
    started = time.monotonic()
    job = _job(
        task,
        Template(task.template, task.response),
        dlm,
        target,
        budget,
        seed,
        proposing=proposing,
        max_prompt_tokens=max_prompt_tokens,
        options=options,
        folder=folder,
        settings={"method": method},
    )
    random.seed(seed)
    METHODS[method](job)
    return _optimized(method, job, started, test=test)


def refine_prompt(
    prompt: str,
    task: Task,
    *,
    dlm: MaskedDiffusionLM,
    target: Target | MaskedDiffusionLM | None = None,
    budget: int = 300,
    seed: int = 0,
    holes: str | None = None,
    feedback: str = "",
    rounds: int = 3,
    share: float = 0.4,
    max_prompt_tokens: int | None = None,
    options: InfillOptions | None = None,
    folder: str | Path | None = None,
    test: bool = False,
) -> Optimized:
    """Re-mask spans of a whole prompt and fill them again; see :func:`searches.refine`.

    Args:
        prompt: in template syntax over the task's fields. What stands above the line of the first
            field is refined, the rest is frozen.
        task: rows and metric; its template and manual prompt are not used.
        holes: the prompt with holes of your choice for the first round, in place of its least
            likely words.
        feedback: what was wrong with the answers, in words; shown while the holes are filled.
        rounds, share: see :func:`searches.refine`. Everything else: see :func:`optimize_prompt`.

    Returns:
        the best prompt; ``prompt`` itself if nothing beats it.

    Raises:
        PromptInfillError: a prompt with holes or without words to refine, or too small a budget.
    """
    started = time.monotonic()
    start = Template(prompt, task.response)
    words = len(header_words(start))
    if not words:
        raise PromptInfillError(
            "there is nothing to refine: no words stand above the line of the first field"
        )
    if not 0 < share <= 1 or rounds < 1:
        raise PromptInfillError(
            f"share is {share} and rounds {rounds}: share is above 0 and at most 1, rounds from 1"
        )
    frozen = remask(start, [(0, words)], dlm)
    job = _job(
        task,
        frozen,
        dlm,
        target,
        budget,
        seed,
        max_prompt_tokens=max_prompt_tokens,
        options=options,
        folder=folder,
        settings={"method": "refine", "prompt": prompt, "holes": holes, "feedback": feedback}
        | {"rounds": rounds, "share": share},
    )
    searches.refine(
        str(start),
        dlm,
        task.examples,
        proposer=job.infilling(),
        holes=None if holes is None else Template(holes, task.response),
        feedback=feedback,
        rounds=rounds,
        share=share,
        **job.part(),
    )
    return _optimized("refine", job, started, test=test)


def _job(
    task: Task,
    template: Template,
    dlm: MaskedDiffusionLM,
    target: Target | MaskedDiffusionLM | None,
    budget: int,
    seed: int,
    *,
    proposing: Target | None = None,
    max_prompt_tokens: int | None = None,
    options: InfillOptions | None = None,
    folder: str | Path | None = None,
    settings: dict[str, Any],
) -> Job:
    if budget < len(task.validation):
        raise PromptInfillError(
            f"a budget of {budget} metric calls cannot validate one prompt on "
            f"{len(task.validation)} rows: raise the budget, or use fewer rows"
        )
    answers = target if target is not None else dlm
    answerer = DiffusionTarget(answers) if isinstance(answers, MaskedDiffusionLM) else answers
    scorer = Scorer(
        rows=[*task.validation, *task.examples],
        num_validation=len(task.validation),
        response=task.response,
        target=answerer,
        metric=task.metric,
        room=answer_room(answerer, task.response, [*task.examples, *task.validation]),
        budget=budget,
    )
    if folder is not None:
        everything = settings | {
            "template": str(template),
            "fingerprint": dlm.fingerprint,
            "models": [answerer.name, (proposing or answerer).name],
            "target_settings": getattr(answerer, "settings", {}),
            "budget": budget,
            "seed": seed,
            "metric": metric_name(task.metric),
            "max_prompt_tokens": max_prompt_tokens,
            "options": asdict(options or InfillOptions()),
            "examples": task.examples,
            "validation": task.validation,
        }
        scorer.unit = Run(Path(folder), everything).unit
    guards = Guards(template, answerer.count_tokens, task.examples, max_prompt_tokens)
    proposer = proposing or answerer
    return Job(task, template, dlm, proposer, scorer, guards, seed, options or InfillOptions())


def _optimized(method: str, job: Job, started: float, *, test: bool) -> Optimized:
    scorer, task = job.scorer, job.task
    found = scorer.validated()
    if not found and scorer.price(job.start) <= scorer.remaining:
        scorer.validate(job.start)
        found = scorer.validated()
    prompt, score = found[0] if found else (job.start, 0.0)
    cost, calls = scorer.cost, scorer.metric_calls
    interval = None
    if test and task.test:
        asked = [Template(prompt, task.response).prompt(row) for row in task.test]
        replies, _ = scorer.target.answer(asked, max_tokens=scorer.room)
        interval = bootstrap_mean(_scores(task, replies), seed=job.seed)
    return Optimized(
        method=method,
        prompt=prompt,
        score=score,
        tokens=scorer.tokens(prompt),
        metric_calls=calls,
        target_cost=cost,
        proposer_cost=sum((p.cost for p in job.proposers), Cost()),
        rejected=dict(job.guards.rejected),
        seconds=round(time.monotonic() - started, 3),
        test=interval,
    )


def _scores(task: Task, replies: list[str]) -> list[float]:
    return [
        score_answer(task.metric, reply, row, task.response)
        for reply, row in zip(replies, task.test, strict=True)
    ]
