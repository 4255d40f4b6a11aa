"""The main job, top to bottom: condition, denoise, collect candidates, validate, test once."""

import hashlib
import json
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from typing import Any

from promptinfill import __version__
from promptinfill.errors import NoCandidateError, PromptInfillError
from promptinfill.evaluation.scoring import answer_room, metric_name, score_answer
from promptinfill.evaluation.statistics import Interval, bootstrap_mean
from promptinfill.infilling.candidates import (
    Candidate,
    InfillOptions,
    batches,
    collect,
    draw_fillings,
    make_plans,
)
from promptinfill.infilling.canvas import Example, check_examples
from promptinfill.infilling.result import Result
from promptinfill.infilling.run import Run
from promptinfill.infilling.selection import SelectionOptions, select
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.targets import Target
from promptinfill.targets.diffusion import DiffusionTarget
from promptinfill.tasks.metrics import Metric, exact_match
from promptinfill.templates import Template


@dataclass(frozen=True)
class Progress:
    """One finished piece of work, for progress displays: ``done`` of ``total`` in ``stage``."""

    stage: str
    done: int
    total: int


def infill(
    template: Template,
    examples: Sequence[Example],
    *,
    dlm: MaskedDiffusionLM,
    validation: Sequence[Example],
    metric: Metric = exact_match,
    target: MaskedDiffusionLM | Target | None = None,
    candidates: int = 32,
    seed: int = 0,
    test: Sequence[Example] = (),
    manual: Template | str | None = None,
    options: InfillOptions | None = None,
    selection: SelectionOptions | None = None,
    max_answer_tokens: int | None = None,
    folder: str | Path | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Result:
    """Fill the holes of ``template`` and keep the prompt that validates best.

    Args:
        template: with holes, fields, and a response.
        examples: solved examples that the model sees while it fills (never the validation set).
        dlm: fills the holes.
        validation: rows that choose among candidates.
        metric: (answer, reference) -> 0..1. A row may hold "references", the right answers one a
            line; the best value counts.
        target: answers the prompts; default ``dlm``. A dLM is wrapped in a DiffusionTarget.
        candidates: draws to make; equal and malformed ones fall together or away.
        seed: decides seeds, few-shot subsets and intervals; 0 or more.
        test: rows scored once, with the chosen prompt (and the manual one).
        manual: a hand-written prompt over the same fields, to compare with on the test rows.
        options: how candidates are made.
        selection: how validation is spent.
        max_answer_tokens: room for an answer, EOS included; default: the longest answer among
            examples and validation rows, and two more.
        folder: run folder. The same call continues a killed run and ends with the same result.
        on_progress: called after each finished unit of work.

    Raises:
        TemplateError: no hole, or an example without one of the fields.
        NoCandidateError: no usable candidate.
        PromptInfillError: no response, no examples, a manual prompt that does not fit, a metric
            that gives no number, or a folder that holds another run.
    """
    started = time.monotonic()
    options, selection = options or InfillOptions(), selection or SelectionOptions()
    manual = Template(manual, template.response) if isinstance(manual, str) else manual
    _check(template, examples, validation, test)
    if manual is not None:
        _check_manual(manual, template)
    if candidates < 1 or not 0 <= seed < 2**63:
        raise PromptInfillError(
            f"candidates is {candidates} and seed {seed}: draw at least 1, with a seed from 0 on"
        )
    answerer = _as_target(target or dlm)
    room = max_answer_tokens or answer_room(
        answerer, template.response or "", [*examples, *validation]
    )
    settings = {
        "promptinfill": __version__,
        "template": str(template),
        "response": template.response,
        "model": dlm.name,
        "fingerprint": dlm.fingerprint,
        "target": answerer.name,
        "target_settings": {"batch_size": answerer.batch_size} | getattr(answerer, "settings", {}),
        "candidates": candidates,
        "seed": seed,
        "metric": metric_name(metric),
        "max_answer_tokens": room,
        "options": asdict(options),
        "selection": asdict(selection),
        "manual": None if manual is None else str(manual),
        "examples": [_fields(template, row) for row in examples],
        "validation": [_fields(template, row) for row in validation],
        "test": [_fields(template, row) for row in test],
    }
    run = Run(None if folder is None else Path(folder), settings)
    report = on_progress or (lambda progress: None)

    # Condition and denoise: draw every candidate.
    plans = make_plans(template, len(examples), candidates, seed, options)
    groups = batches(plans, options.batch_size)
    draws: list[dict[str, Any]] = []
    for i, group in enumerate(groups):
        compute = partial(draw_fillings, dlm, template, examples, group, options)
        drawn = run.unit(f"draw/{i}", compute)
        draws += drawn["draws"]
        report(Progress("candidates", i + 1, len(groups)))
    found, dropped = collect(template, plans, draws, answerer.count_tokens)
    if not found:
        reasons = ", ".join(f"{n} {why}" for why, n in dropped.items())
        raise NoCandidateError(
            f"none of {candidates} candidates was usable ({reasons}); ask for more candidates, "
            "other hole lengths, or a model trained with full-sequence masking"
        )

    # Validate on the target: the better half goes on.
    evaluator = _Evaluator(run, answerer, metric, template.response, room, report)
    ranked = select(
        found,
        len(validation),
        lambda pairs: evaluator.score_pairs("validation", pairs, validation),
        selection,
    )

    # Test once.
    best = Template(ranked[0].prompt, template.response)
    result = Result(
        prompt=ranked[0].prompt,
        response=template.response,
        candidates=ranked,
        dropped=dropped,
        test=evaluator.interval("test", best, test, seed) if test else None,
        manual=evaluator.interval("manual", manual, test, seed) if test and manual else None,
        cost=_cost(run) | {"seconds": round(time.monotonic() - started, 3)},
        settings=run.settings,
    )
    if folder is not None:
        result.save(folder)
    return result


@dataclass
class _Evaluator:
    """Answers and scores rows in resumable batches."""

    run: Run
    target: Target
    metric: Metric
    response: str | None
    room: int
    report: Callable[[Progress], None]
    rounds: int = 0

    def score_pairs(
        self, stage: str, pairs: list[tuple[Candidate, int]], rows: Sequence[Example]
    ) -> list[float]:
        templates = {c.number: Template(c.prompt, self.response) for c, _ in pairs}
        self.rounds += 1
        return self.score(
            f"{stage}/{self.rounds}", [(templates[c.number], rows[i]) for c, i in pairs]
        )

    def interval(
        self, stage: str, prompt: Template, rows: Sequence[Example], seed: int
    ) -> Interval:
        return bootstrap_mean(self.score(stage, [(prompt, row) for row in rows]), seed=seed)

    def score(self, stage: str, work: list[tuple[Template, Example]]) -> list[float]:
        prompts = [template.prompt(row) for template, row in work]
        # One queue over candidates and rows; the longest first, so that batches pad little.
        order = sorted(range(len(work)), key=lambda i: -len(prompts[i]))
        scores = [0.0] * len(work)
        size = self.target.batch_size
        for start in range(0, len(order), size):
            chunk = order[start : start + size]
            asked = [prompts[i] for i in chunk]
            # The name holds what was asked: stored answers never meet other prompts.
            digest = hashlib.blake2b(json.dumps(asked).encode(), digest_size=6).hexdigest()
            unit = self.run.unit(f"{stage}/{start}/{digest}", partial(self._answer, asked))
            for i, answer in zip(chunk, unit["answers"], strict=True):
                scores[i] = score_answer(self.metric, answer, work[i][1], self.response or "")
            self.report(Progress(stage, min(start + size, len(order)), len(order)))
        return scores

    def _answer(self, prompts: list[str]) -> dict[str, Any]:
        answers, cost = self.target.answer(prompts, max_tokens=self.room)
        return {"answers": answers} | asdict(cost)


def _as_target(target: MaskedDiffusionLM | Target) -> Target:
    return DiffusionTarget(target) if isinstance(target, MaskedDiffusionLM) else target


def _check(template: Template, *sets: Sequence[Example]) -> None:
    template.require_holes()
    if template.response is None:
        raise PromptInfillError(
            "the template needs a response: name the field that holds the answer, "
            'for example Template(text, response="output")'
        )
    for rows, what in zip(sets, ("examples", "validation", "test"), strict=True):
        check_examples(template, rows, what)
    if not sets[0] or not sets[1]:
        raise PromptInfillError("infilling needs at least one example and one validation row")
    seen: dict[tuple[str, ...], str] = {}
    for rows, what in zip(sets, ("examples", "validation", "test"), strict=True):
        for i, row in enumerate(rows):
            key = tuple(row[name] for name in template.prompt_fields)
            if template.prompt_fields and seen.setdefault(key, what) != what:
                raise PromptInfillError(
                    f"{what}[{i}] is also among the {seen[key]}: examples, validation and test "
                    "rows must differ, or scores say nothing"
                )


def _check_manual(manual: Template, template: Template) -> None:
    """Before the work, not after it: the manual prompt meets its first row at the very end."""
    if manual.holes:
        raise PromptInfillError("the manual prompt has a hole: write it out in full")
    if unknown := [name for name in manual.fields if name not in template.fields]:
        raise PromptInfillError(
            f"the manual prompt has the field {unknown[0]!r}; the template's fields are "
            f"{', '.join(template.fields)}"
        )


def _fields(template: Template, row: Example) -> dict[str, str]:
    kept = [*template.fields, *(["references"] if "references" in row else [])]
    return {name: row[name] for name in kept}


def _cost(run: Run) -> dict[str, float]:
    units: Iterable[dict[str, Any]] = (run.units[name] for name in run.used)
    calls = [(unit["model_calls"], unit["tokens"]) for unit in units]
    return {"model_calls": sum(c for c, _ in calls), "tokens": sum(t for _, t in calls)}
