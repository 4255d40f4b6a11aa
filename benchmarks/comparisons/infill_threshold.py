"""Several tokens a step: forwards, time and accuracy of whole infilling jobs, embedded model."""

import time
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any

from harness import Report, peak_memory
from promptinfill.diffusion.sampling import SamplingOptions
from promptinfill.infilling.candidates import InfillOptions, batches, draw_fillings, make_plans
from promptinfill.infilling.infill import infill
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.targets.diffusion import DiffusionTarget
from promptinfill.tasks import Splits, Task, get_task
from promptinfill.templates import Template

MODEL = "embedded:best"
TASKS = ("first_letter", "last_item", "count_items", "sum", "larger_number", "plural")
CANDIDATES, SEED = 16, 0
SPLITS = Splits(examples=20, validation=16, test=50, seed=SEED)
THRESHOLD = 0.9


@dataclass
class Outcome:
    """Of whole jobs over tasks: row forwards, by stage, and mean test accuracy."""

    seconds: float
    forwards: int
    drawing_forwards: int
    answering_forwards: int
    accuracy: float
    accuracies: dict[str, float]


def run_jobs(
    dlm: MaskedDiffusionLM, tasks: Sequence[Task], options: InfillOptions, answers: SamplingOptions
) -> Outcome:
    """Infill, validate and test every task; count rows through the model."""
    started = time.perf_counter()
    target = DiffusionTarget(dlm, options=answers)
    forwards, accuracies = 0, {}
    for task in tasks:
        result = infill(
            Template(task.template, task.response),
            task.examples,
            dlm=dlm,
            target=target,
            validation=task.validation,
            test=task.test,
            metric=task.metric,
            candidates=CANDIDATES,
            seed=SEED,
            options=options,
        )
        assert result.test is not None
        forwards += int(result.cost["model_calls"])
        accuracies[task.name] = round(result.test.score, 4)
    seconds = time.perf_counter() - started
    drawing = sum(drawing_forwards(dlm, task, options) for task in tasks)
    mean = sum(accuracies.values()) / len(accuracies)
    return Outcome(
        round(seconds, 3), forwards, drawing, forwards - drawing, round(mean, 4), accuracies
    )


def drawing_forwards(dlm: MaskedDiffusionLM, task: Task, options: InfillOptions) -> int:
    """Rows through the model while candidates are drawn."""
    template = Template(task.template, task.response)
    plans = make_plans(template, len(task.examples), CANDIDATES, SEED, options)
    return sum(
        draw_fillings(dlm, template, task.examples, group, options)["model_calls"]
        for group in batches(plans, options.batch_size)
    )


def infill_threshold() -> Report:
    """One token a step in holes and answers, against all tokens above a confidence at once."""
    dlm = MaskedDiffusionLM.from_pretrained(MODEL, device="cpu")
    tasks = [get_task(name, SPLITS) for name in TASKS]
    sides: dict[str, dict[str, Any]] = {}
    for name, threshold in (("baseline", None), ("ours", THRESHOLD)):
        outcome = run_jobs(dlm, tasks, *_settings(threshold))
        sides[name] = asdict(outcome)
        sides[name]["memory_mib"] = peak_memory(_process, threshold)
    lost = sides["baseline"]["accuracy"] - sides["ours"]["accuracy"]
    return Report(
        "infill_threshold",
        f"{MODEL}, {len(TASKS)} tasks: {CANDIDATES} candidates drawn, validated and the best one "
        f"tested on {SPLITS.test} rows; threshold {THRESHOLD} in holes and answers against one "
        "token a step",
        sides["baseline"],
        sides["ours"],
        abs(lost) <= 0.01,
        "mean test accuracies differ by at most 0.01",
        1,
        {
            "forwards_ratio": round(sides["baseline"]["forwards"] / sides["ours"]["forwards"], 3),
            "drawing_ratio": round(
                sides["baseline"]["drawing_forwards"] / sides["ours"]["drawing_forwards"], 3
            ),
            "answering_ratio": round(
                sides["baseline"]["answering_forwards"] / sides["ours"]["answering_forwards"], 3
            ),
            "accuracy_difference": round(-lost, 4),
        },
    )


def _settings(threshold: float | None) -> tuple[InfillOptions, SamplingOptions]:
    options = InfillOptions(batch_size=CANDIDATES, threshold=threshold)
    return options, SamplingOptions(threshold=threshold)


def _process(threshold: float | None) -> None:
    dlm = MaskedDiffusionLM.from_pretrained(MODEL, device="cpu")
    run_jobs(dlm, [get_task(TASKS[0], SPLITS)], *_settings(threshold))


# Ways to commit several tokens a step while holes are filled; answers stay at the threshold.
WAYS: dict[str, dict[str, Any]] = {
    "one a step": {},
    "threshold 0.7": {"threshold": 0.7},
    "threshold 0.5": {"threshold": 0.5},
    "entropy bound 2": {"entropy_bound": 2.0},
    "2 a step": {"tokens_per_step": 2},
    "3 a step": {"tokens_per_step": 3},
    "4 steps, even": {"steps": 4},
    "4 steps, cosine": {"steps": 4, "pace": "cosine"},
}


def trade_off(tasks: Sequence[str] = TASKS) -> list[dict[str, Any]]:
    """Forwards while drawing and accuracy of the chosen prompt, for each way."""
    dlm = MaskedDiffusionLM.from_pretrained(MODEL, device="cpu")
    opened = [get_task(name, SPLITS) for name in tasks]
    rows = []
    for way, changes in WAYS.items():
        options = replace(InfillOptions(batch_size=CANDIDATES), **changes)
        outcome = run_jobs(dlm, opened, options, SamplingOptions(threshold=THRESHOLD))
        rows.append(
            {"way": way, "forwards": outcome.drawing_forwards, "accuracy": outcome.accuracy}
        )
    return rows
