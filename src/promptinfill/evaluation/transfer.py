"""Transfer: prompts filled by A, used on B, over all pairs."""

import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

from promptinfill import __version__
from promptinfill.evaluation.claims import Grid
from promptinfill.evaluation.experiment import Effort, Experiment, effort_settings
from promptinfill.evaluation.statistics import bootstrap_mean
from promptinfill.files import write_json
from promptinfill.infilling.run import Run
from promptinfill.targets import Target

RESULT, TIMING = "transfer.json", "timing.json"


def matrix(grid: Grid, sources: Sequence[str], targets: Sequence[str]) -> dict[str, Any]:
    """Mean accuracy of each source's prompts on each target, with intervals over tasks.

    Returns:
        {"sources", "targets", "cells": [{"source", "target", "score", "low", "high", "n",
        "minus_manual": {...}}], "manual": [{"target", "score", "low", "high", "n"}]}
    """
    cells, manual = [], []
    for target in targets:
        by_hand = grid.by_task(grid.manual(target))
        manual.append({"target": target} | asdict(bootstrap_mean(by_hand)))
        for source in sources:
            values = grid.by_task(grid.infilled(source, target))
            gaps = [a - b for a, b in zip(values, by_hand, strict=True)]
            cells.append(
                {"source": source, "target": target}
                | asdict(bootstrap_mean(values))
                | {"minus_manual": asdict(bootstrap_mean(gaps))}
            )
    return {"sources": list(sources), "targets": list(targets), "cells": cells, "manual": manual}


def transfer(
    models: Mapping[str, str],
    tasks: Sequence[str],
    *,
    targets: Mapping[str, str] | None = None,
    seeds: Sequence[int] = (0,),
    effort: Effort | None = None,
    folder: str | Path | None = None,
    open_target: Callable[[str], Target] | None = None,
    on_step: Callable[[str, int, int], None] | None = None,
) -> dict[str, Any]:
    """Let every model fill prompts for every task, and use them on every model and target.

    Args:
        models: masked diffusion models by name; each is a source and a target.
        tasks: task names.
        targets: further models that only answer, for example autoregressive ones.
        seeds: of rows and candidates.
        effort: what one choice may cost.
        folder: run folder; a killed run continues from it.
        open_target: opens a value of ``targets``.
        on_step: called with (label, done, total) after each step.
    """
    started = time.monotonic()
    effort = effort or Effort()
    where = None if folder is None else Path(folder)
    settings = {
        "kind": "transfer",
        "promptinfill": __version__,
        "models": dict(models),
        "targets": dict(targets or {}),
        "tasks": list(tasks),
        "seeds": list(seeds),
        "effort": effort_settings(effort),
    }
    experiment = Experiment(
        Run(where, settings), models, effort, targets=targets, open_target=open_target
    )
    names = [*models, *(targets or {})]
    choices = [(task, seed) for task in tasks for seed in seeds]
    total, done = (len(models) + len(names)) * len(choices), 0

    def step(label: str) -> None:
        nonlocal done
        done += 1
        if on_step:
            on_step(label, done, total)

    for model in models:
        for task, seed in choices:
            experiment.infilled(model, task, seed)
            step(f"{model} fills {task}")
    for target in names:
        for task, seed in choices:
            by_hand = experiment.manual(target, task, seed).prompt
            experiment.tested(target, by_hand, task, seed)
            for source in models:
                prompt = experiment.infilled(source, task, seed).prompt
                experiment.tested(target, prompt, task, seed)
            step(f"{task} on {target}")
    grid = Grid(experiment, tasks, seeds)
    result = matrix(grid, list(models), names) | {
        "tasks": list(tasks),
        "seeds": list(seeds),
        "test_touches": experiment.test_touches(),
        "cost": experiment.cost(),
    }
    seconds = round(time.monotonic() - started, 1)
    if where is not None:
        write_json(where / RESULT, result)
        write_json(where / TIMING, {"seconds": seconds})
    return result | {"seconds": seconds}
