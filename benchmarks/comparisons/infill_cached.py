"""Cached infilling against our own lossless one: time on a shape, agreement on the real model."""

from dataclasses import asdict, replace
from typing import Any

import torch

from comparisons.infill_threshold import CANDIDATES, MODEL, SPLITS, THRESHOLD, run_jobs
from harness import Report, interleaved, peak_memory
from promptinfill.diffusion.sampling import SamplingOptions
from promptinfill.infilling.candidates import InfillOptions, batches, draw_fillings, make_plans
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.models.denoising import fill_slots
from promptinfill.models.hole_cache import CacheOptions
from promptinfill.tasks import Task, get_task
from promptinfill.templates import Template
from shapes import canvases, encoder

VOCABULARY, LAYERS, CONTEXT, HOLE = 30522, 4, 1024, 16
TASKS = ("first_letter", "sum", "plural")
CACHE = CacheOptions(refresh=6, window=4)


def infill_cached() -> Report:
    """One context, 16 candidates at temperature 0.7, one token a step."""
    dlm = encoder(VOCABULARY, LAYERS)
    timings, results = interleaved(
        {"baseline": lambda: fill(dlm, None), "ours": lambda: fill(dlm, CACHE)}, 1
    )
    same_shape = float((results["baseline"] == results["ours"]).float().mean())
    for side, cache in (("baseline", None), ("ours", CACHE)):
        timings[side]["memory_mib"] = peak_memory(_process, cache)
    real = embedded_quality(CACHE)
    return Report(
        "infill_cached",
        f"random encoder of {LAYERS} layers, vocabulary {VOCABULARY}, one context of {CONTEXT}, "
        f"hole {HOLE}, {CANDIDATES} candidates, {HOLE} steps; exact pass every {CACHE.refresh} "
        f"steps. Agreement and accuracy: {MODEL} on {len(TASKS)} tasks",
        timings["baseline"] | {"accuracy": real["accuracy"]["baseline"]},
        timings["ours"] | {"accuracy": real["accuracy"]["ours"]},
        real["tokens_equal"] >= 0.95 and abs(real["accuracy_difference"]) <= 0.01,
        "at least 0.95 of the embedded model's hole tokens are the uncached ones, and its mean "
        "test accuracy lies within 0.01",
        1,
        {"shape_tokens_equal": round(same_shape, 4), "cache": asdict(CACHE)} | real,
    )


def fill(dlm: MaskedDiffusionLM, cache: CacheOptions | None, steps: int = HOLE) -> torch.Tensor:
    """The hole's tokens, (candidates, HOLE)."""
    rows = canvases(dlm, CANDIDATES, CONTEXT, HOLE, shared=True)
    tokens = fill_slots(
        dlm,
        rows,
        seeds=list(range(CANDIDATES)),
        options=SamplingOptions(temperature=0.7, tokens_per_step=HOLE // steps),
        allow_eos=False,
        cache=cache,
    ).tokens
    return tokens[:, 1 : 1 + HOLE]


def embedded_quality(cache: CacheOptions) -> dict[str, Any]:
    """Agreement of the drawn candidates and accuracy of the chosen prompts, tied conditioning."""
    dlm = MaskedDiffusionLM.from_pretrained(MODEL, device="cpu")
    tasks = [get_task(name, SPLITS) for name in TASKS]
    exact = InfillOptions(batch_size=CANDIDATES)
    cached = replace(exact, cache=cache)
    equal, total = agreement(dlm, tasks, exact, cached)
    accuracy = {
        side: run_jobs(dlm, tasks, options, SamplingOptions(threshold=THRESHOLD)).accuracy
        for side, options in (("baseline", exact), ("ours", cached))
    }
    return {
        "tokens_equal": round(equal / total, 4),
        "accuracy": accuracy,
        "accuracy_difference": round(accuracy["ours"] - accuracy["baseline"], 4),
    }


def agreement(
    dlm: MaskedDiffusionLM, tasks: list[Task], exact: InfillOptions, cached: InfillOptions
) -> tuple[int, int]:
    """How many tokens of the fillings agree, place by place, and of how many."""
    equal = total = 0
    for task in tasks:
        template = Template(task.template, task.response)
        for group in batches(
            make_plans(template, len(task.examples), CANDIDATES, 0, exact), exact.batch_size
        ):
            drawn = [
                draw_fillings(dlm, template, task.examples, group, options)["draws"]
                for options in (exact, cached)
            ]
            for one, other in zip(*drawn, strict=True):
                ids = [
                    dlm.tokenizer(draw["fillings"][0], add_special_tokens=False).input_ids
                    for draw in (one, other)
                ]
                equal += sum(a == b for a, b in zip(*ids, strict=False))
                total += max(map(len, ids))
    return equal, total


def _process(cache: CacheOptions | None) -> None:
    fill(encoder(VOCABULARY, LAYERS), cache, steps=HOLE if cache else 1)
