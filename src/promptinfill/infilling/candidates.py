"""Candidates: plans over seeds, few-shot subsets and hole lengths, and the fillings they give."""

import math
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, get_args

import numpy as np
import torch

from promptinfill.data.encoding import decode
from promptinfill.diffusion.noise import derive_key
from promptinfill.diffusion.sampling import SamplingOptions, StepTrace
from promptinfill.errors import PromptInfillError
from promptinfill.infilling.canvas import (
    Conditioning,
    Example,
    build_canvases,
    grouped,
)
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.models.denoising import fill_slots
from promptinfill.models.hole_cache import CacheOptions
from promptinfill.templates import Template


@dataclass(frozen=True)
class InfillOptions:
    """How candidates are made.

    Attributes:
        conditioning: "tied" (one canvas per group of examples, holes shared) or "concat".
        examples: solved examples that each candidate sees.
        per_canvas: examples in one canvas under "tied".
        lengths: factors on the template's hole lengths that the candidates cycle through; a hole's
            right length is not known beforehand.
        temperatures: that the candidates cycle through after each round of lengths.
        order, tokens_per_step, threshold, top_k, top_p, steps, pace, entropy_bound: decoding; see
            ``SamplingOptions``.
        prior_weight, guidance: see :func:`promptinfill.infilling.canvas.build_canvases`.
        batch_size: candidates denoised together.
        cache: None is exact; else the steps between exact passes recompute the holes alone, which
            is approximate (see :mod:`promptinfill.models.hole_cache`).
    """

    conditioning: Conditioning = "tied"
    examples: int = 5
    per_canvas: int = 1
    lengths: tuple[float, ...] = (1.0, 0.75, 0.5)
    temperatures: tuple[float, ...] = (0.0, 0.7, 1.0)
    order: str = "confidence"
    tokens_per_step: int = 1
    threshold: float | None = None
    top_k: int | None = None
    top_p: float | None = None
    prior_weight: float = 0.0
    guidance: float = 0.0
    batch_size: int = 16
    steps: int | None = None
    pace: str = "even"
    entropy_bound: float | None = None
    cache: CacheOptions | None = None

    def __post_init__(self) -> None:
        if self.conditioning not in get_args(Conditioning):
            known = ", ".join(get_args(Conditioning))
            raise PromptInfillError(
                f"unknown conditioning {self.conditioning!r}: choose one of {known}"
            )
        for name in ("examples", "per_canvas", "batch_size"):
            if getattr(self, name) < 1:
                raise PromptInfillError(f"{name} is {getattr(self, name)}: it must be at least 1")
        if not self.lengths or min(self.lengths) <= 0:
            raise PromptInfillError(f"lengths is {self.lengths}: give factors above 0")
        if not self.temperatures:
            raise PromptInfillError("temperatures is empty: give at least one")
        for temperature in self.temperatures:
            self.sampling(temperature)

    def sampling(self, temperature: float) -> SamplingOptions:
        """How to denoise at one of the temperatures; PromptInfillError on a value out of range."""
        return SamplingOptions(
            order=self.order,
            tokens_per_step=self.tokens_per_step,
            threshold=self.threshold,
            temperature=temperature,
            top_k=self.top_k,
            top_p=self.top_p,
            steps=self.steps,
            pace=self.pace,
            entropy_bound=self.entropy_bound,
        )


@dataclass(frozen=True)
class Plan:
    """One draw to be made: everything that decides its outcome."""

    number: int
    seed: int
    examples: list[int]
    hole_lengths: list[int]
    temperature: float


@dataclass
class Candidate:
    """One filled prompt: how it was made and how it did.

    Attributes:
        number: of its plan; candidates of equal text keep the first number.
        fillings: the text of each distinct hole.
        prompt: the template filled, fields open (template syntax).
        tokens: length of the prompt with its fields empty, in the target's tokens.
        plan: how it was made.
        log_prob: sum of the log-probabilities of its tokens when committed (nats).
        scores: one metric value for each validation row it was tried on.
        drawn: how many draws gave this text.
    """

    number: int
    fillings: list[str]
    prompt: str
    tokens: int
    plan: dict[str, Any]
    log_prob: float
    scores: list[float] = field(default_factory=list)
    drawn: int = 1

    @property
    def score(self) -> float:
        """Mean over the validation rows it was tried on; 0 before any."""
        # fsum: candidates with equal values in another order must tie to the last bit.
        return math.fsum(self.scores) / len(self.scores) if self.scores else 0.0


def make_plans(
    template: Template, num_examples: int, count: int, seed: int, options: InfillOptions
) -> list[Plan]:
    """``count`` plans; plan i depends on (seed, i) alone, so more candidates extend the list."""
    shown = min(options.examples, num_examples)
    combos = [(length, heat) for heat in options.temperatures for length in options.lengths]
    plans = []
    for i in range(count):
        key = int(derive_key(torch.tensor(seed), i))
        rng = np.random.default_rng([seed, i])
        factor, temperature = combos[i % len(combos)]
        plans.append(
            Plan(
                number=i,
                seed=key,
                examples=sorted(rng.choice(num_examples, shown, replace=False).tolist()),
                hole_lengths=[max(1, round(h.length * factor)) for h in template.holes],
                temperature=temperature,
            )
        )
    return plans


def draw_fillings(
    dlm: MaskedDiffusionLM,
    template: Template | Sequence[Template],
    examples: Sequence[Example],
    plans: Sequence[Plan],
    options: InfillOptions,
    *,
    on_step: Callable[[StepTrace], None] | None = None,
) -> dict[str, Any]:
    """Denoise the holes of ``plans`` (which share a temperature) in one batch.

    ``template`` is that of all plans, or one for each.

    Returns:
        {"draws": [{"number", "fillings", "log_prob"}], "model_calls", "tokens"}: plain JSON.
    """
    rows, weights, sample = [], [], []
    templates = [template] * len(plans) if isinstance(template, Template) else template
    for i, plan in enumerate(plans):
        chosen = [examples[j] for j in plan.examples]
        canvases = build_canvases(
            dlm,
            templates[i].with_hole_lengths(plan.hole_lengths),
            grouped(chosen, options.conditioning, options.per_canvas),
            prior_weight=options.prior_weight,
            guidance=options.guidance,
        )
        rows += canvases.rows
        weights += canvases.weights
        sample += [i] * len(canvases.rows)
    done = fill_slots(
        dlm,
        rows,
        seeds=[plan.seed for plan in plans],
        options=options.sampling(plans[0].temperature),
        allow_eos=False,
        sample=sample,
        row_weight=weights,
        on_step=on_step,
        cache=options.cache,
    )
    draws, filled = [], done.tokens.tolist()
    for i, plan in enumerate(plans):
        first = sample.index(i)
        tokens = dict(zip(rows[first].slot, filled[first], strict=False))
        fillings, start = [], 0
        for length in plan.hole_lengths:
            ids = [tokens[slot] for slot in range(start, start + length)]
            fillings.append(decode(dlm, ids).strip())
            start += length
        draws.append(
            {"number": plan.number, "fillings": fillings, "log_prob": float(done.log_prob[i])}
        )
    width = sum(len(row) for row in rows) / len(rows)
    return {
        "draws": draws,
        "model_calls": done.row_forwards,
        "tokens": round(done.row_forwards * width),
    }


def batches(plans: Sequence[Plan], batch_size: int) -> list[list[Plan]]:
    """Plans of one temperature together, in batches, order kept inside each temperature."""
    by_heat: dict[float, list[Plan]] = {}
    for plan in plans:
        by_heat.setdefault(plan.temperature, []).append(plan)
    return [
        group[i : i + batch_size]
        for group in by_heat.values()
        for i in range(0, len(group), batch_size)
    ]


def malformed(filling: str) -> str | None:
    """Why a filling cannot be used, or None. Fillings are dropped and counted, never repaired."""
    if not filling:
        return "empty"
    if "\n" in filling or "\r" in filling:
        return "line break"
    if "�" in filling:
        return "broken character"
    if not any(c.isalnum() for c in filling):
        return "no word"
    return None


def collect(
    template: Template,
    plans: Sequence[Plan],
    draws: Sequence[dict[str, Any]],
    count_tokens: Callable[[str], int],
) -> tuple[list[Candidate], dict[str, int]]:
    """Draws to distinct candidates in the order of their numbers, and what was dropped and why."""
    by_number = {plan.number: plan for plan in plans}
    found: dict[tuple[str, ...], Candidate] = {}
    dropped: dict[str, int] = {}
    for entry in sorted(draws, key=lambda d: d["number"]):
        fillings = entry["fillings"]
        reason = next((why for text in fillings if (why := malformed(text))), None)
        if reason:
            dropped[reason] = dropped.get(reason, 0) + 1
            continue
        key = tuple(fillings)
        if key in found:
            found[key].drawn += 1
            dropped["duplicate"] = dropped.get("duplicate", 0) + 1
            continue
        filled = template.fill(fillings)
        empty = dict.fromkeys(filled.fields, "")
        found[key] = Candidate(
            number=entry["number"],
            fillings=fillings,
            prompt=str(filled),
            tokens=count_tokens(filled.prompt(empty)),
            plan=asdict(by_number[entry["number"]]),
            log_prob=entry["log_prob"],
        )
    return list(found.values()), dropped
