"""Cells: the finished pieces of work that audit, transfer and reproduce are made of.

A cell is one unit of a run folder (:class:`promptinfill.infilling.run.Run`): a model opened, a
prompt chosen on validation rows, or a prompt asked once on test rows. Cells are pure functions of
the run's settings, so a killed run continues and ends the same. Validation chooses; no test row
meets a (target, prompt) pair twice, and :meth:`Experiment.test_touches` counts what test rows met.
"""

import gc
import hashlib
import math
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import Any

from promptinfill.errors import ModelError, NoCandidateError, PromptInfillError
from promptinfill.evaluation.scoring import answer_room, score_answer
from promptinfill.infilling.candidates import InfillOptions
from promptinfill.infilling.infill import infill
from promptinfill.infilling.run import Run
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.targets import Target
from promptinfill.targets.diffusion import DiffusionTarget
from promptinfill.tasks import Row, Splits, Task, get_task
from promptinfill.templates import Template

_KEPT_CANDIDATES = 8  # of each infilling, in its cell: for the report


@dataclass(frozen=True)
class Chosen:
    """A prompt that validation chose.

    Attributes:
        prompt: in template syntax; None when infilling found no usable candidate.
        tokens: its length with empty fields, in the tokens of the model that chose it.
        validation: its score on the validation rows it met.
    """

    prompt: str | None
    tokens: int | None
    validation: float


@dataclass(frozen=True)
class Effort:
    """What one choice of a prompt may cost.

    Attributes:
        rows: examples, validation and test rows; its seed is replaced by the cell's.
        candidates: infillings drawn.
        options: how they are drawn.
        wordings: manual prompts of a task that compete on the validation rows.
    """

    rows: Splits = field(default_factory=Splits)
    candidates: int = 16
    options: InfillOptions = field(default_factory=InfillOptions)
    wordings: int = 4


class Experiment:
    """Opens models, chooses prompts and tests them, each as a cell of ``run``.

    Args:
        run: the run folder, or a run in memory.
        models: masked diffusion models by the name that tables show; the value opens them.
        targets: further models that only answer.
        effort: what one choice may cost.
        open_target: opens a value of ``targets``.
        in_memory: models held open together.
    """

    def __init__(
        self,
        run: Run,
        models: Mapping[str, str],
        effort: Effort,
        *,
        targets: Mapping[str, str] | None = None,
        open_target: Callable[[str], Target] | None = None,
        in_memory: int = 8,
    ) -> None:
        if both := sorted({*models} & {*(targets or {})}):
            raise PromptInfillError(f"{both[0]!r} names a model and a target: give another name")
        self.run = run
        self.models = dict(models)
        self.targets = dict(targets or {})
        self.effort = effort
        self._open_target = open_target or _no_target
        self._in_memory = in_memory
        self._open: dict[str, Target] = {}
        self._tasks: dict[tuple[str, int], Task] = {}

    # -- models and rows -------------------------------------------------------------------------

    def dlm(self, name: str) -> MaskedDiffusionLM:
        """The masked diffusion model of that name."""
        target = self.target(name)
        if not isinstance(target, DiffusionTarget):
            raise PromptInfillError(f"{name} is not a masked diffusion model: it cannot fill holes")
        return target.dlm

    def target(self, name: str) -> Target:
        """The model of that name as a target; the least recently used one makes room for it.

        Raises:
            PromptInfillError: unknown name, or other weights than the run began with.
        """
        if name in self._open:
            self._open[name] = self._open.pop(name)
            return self._open[name]
        while len(self._open) >= self._in_memory:
            self._open.pop(next(iter(self._open)))
            gc.collect()
        if name in self.models:
            dlm = MaskedDiffusionLM.from_pretrained(self.models[name])
            target: Target = DiffusionTarget(dlm)
            about = {
                "fingerprint": dlm.fingerprint,
                "policy": dlm.conventions.policy,
                "parameters": sum(p.numel() for p in dlm.parameters()),
            }
        elif name in self.targets:
            target = self._open_target(self.targets[name])
            about = {"fingerprint": getattr(target, "settings", {}), "target": target.name}
        else:
            known = ", ".join([*self.models, *self.targets])
            raise PromptInfillError(f"no model {name!r} in this run; known: {known}")
        stored = self.run.unit(f"model {name}", lambda: {"cell": "model", "model": name} | about)
        if stored["fingerprint"] != _plain(about["fingerprint"]):
            raise ModelError(
                f"{name}: its weights or settings are not those that this run began with; "
                "use another folder for the run"
            )
        self._open[name] = target
        return target

    def fingerprint(self, name: str) -> Any:
        """What tells two models apart; opens the model if no cell knows it yet."""
        if f"model {name}" not in self.run.units:
            self.target(name)
        return self.run.unit(f"model {name}", dict)["fingerprint"]

    def task(self, name: str, seed: int) -> Task:
        """The task with rows drawn by ``seed``."""
        key = (name, seed)
        if key not in self._tasks:
            self._tasks[key] = get_task(name, replace(self.effort.rows, seed=seed))
        return self._tasks[key]

    # -- choosing on validation rows -------------------------------------------------------------

    def infilled(
        self,
        model: str,
        task: str,
        seed: int,
        *,
        variant: str = "",
        options: InfillOptions | None = None,
    ) -> Chosen:
        """The prompt that ``model`` fills and validates for itself.

        ``variant`` names other ``options`` than the run's.
        """
        name = " ".join(filter(None, ["infill", model, task, str(seed), variant]))
        value = self.run.unit(
            name,
            lambda: (
                {"cell": "infill", "model": model, "task": task, "seed": seed, "variant": variant}
                | self._infill(model, task, seed, options or self.effort.options)
            ),
        )
        return Chosen(value["prompt"], value["tokens"], value["validation"])

    def _infill(self, model: str, task: str, seed: int, options: InfillOptions) -> dict[str, Any]:
        rows = self.task(task, seed)
        try:
            result = infill(
                Template(rows.template, rows.response),
                rows.examples,
                dlm=self.dlm(model),
                target=self.target(model),
                validation=rows.validation,
                metric=rows.metric,
                candidates=self.effort.candidates,
                options=options,
                seed=seed,
            )
        except NoCandidateError as error:
            return {"prompt": None, "tokens": None, "validation": 0.0, "why": str(error)}
        kept = result.candidates[:_KEPT_CANDIDATES]
        return {
            "prompt": result.prompt,
            "tokens": result.best.tokens,
            "validation": result.best.score,
            "candidates": [[c.fillings, c.score, len(c.scores)] for c in kept],
            "dropped": result.dropped,
            "cost": {k: v for k, v in result.cost.items() if k != "seconds"},
        }

    def manual(self, model: str, task: str, seed: int) -> Chosen:
        """The best hand-written prompt of the task on the same validation rows."""
        value = self.run.unit(
            f"manual {model} {task} {seed}",
            lambda: (
                {"cell": "manual", "model": model, "task": task, "seed": seed}
                | self._choose(model, task, seed)
            ),
        )
        return Chosen(value["prompt"], value["tokens"], value["validation"])

    def _choose(self, model: str, task: str, seed: int) -> dict[str, Any]:
        rows, target = self.task(task, seed), self.target(model)
        tried: list[tuple[str, float]] = []
        cost = {"model_calls": 0, "tokens": 0}
        for prompt in rows.manual[: self.effort.wordings]:
            asked = _ask(target, prompt, rows, rows.validation)
            cost = {key: cost[key] + asked["cost"][key] for key in cost}
            tried.append((prompt, math.fsum(asked["scores"]) / len(asked["scores"])))
        if not tried:
            raise PromptInfillError(f"task {task} has no manual prompt to compare with")
        # max keeps the first of equals, and the first wording is the one that people would use.
        prompt, validation = max(tried, key=lambda pair: pair[1])
        return {
            "prompt": prompt,
            "tokens": prompt_tokens(target, prompt, rows.response),
            "validation": validation,
            "tried": tried,
            "cost": cost,
        }

    # -- testing, once ---------------------------------------------------------------------------

    def tested(self, target: str, prompt: str | None, task: str, seed: int) -> list[float]:
        """Scores of ``prompt`` on the test rows, asked once however often this is called.

        No prompt (infilling found none) scores 0 on every row.
        """
        if prompt is None:
            return [0.0] * len(self.task(task, seed).test)
        scores: list[float] = self.tested_cell(target, prompt, task, seed)["scores"]
        return scores

    def tested_cell(self, target: str, prompt: str, task: str, seed: int) -> dict[str, Any]:
        """The cell behind :meth:`tested`: rows, answers, scores, tokens."""

        def compute() -> dict[str, Any]:
            rows = self.task(task, seed)
            about = {"cell": "test", "target": target, "task": task, "seed": seed, "prompt": prompt}
            model = self.target(target)
            tokens = prompt_tokens(model, prompt, rows.response)
            return about | {"tokens": tokens} | _ask(model, prompt, rows, rows.test, keep=True)

        digest = hashlib.blake2b(prompt.encode(), digest_size=6).hexdigest()
        value: dict[str, Any] = self.run.unit(f"test {target} {task} {seed} {digest}", compute)
        return value

    # -- the books -------------------------------------------------------------------------------

    def test_touches(self) -> dict[str, int]:
        """How often test rows were used: (target, prompt) pairs, and the answers asked for."""
        cells = [c for name in self.run.used if (c := self.run.units[name])["cell"] == "test"]
        return {
            "test_sets": len({(c["task"], c["seed"]) for c in cells}),
            "prompts_tested": len(cells),
            "answers": sum(len(c["scores"]) for c in cells),
        }

    def cost(self) -> dict[str, int]:
        """Model calls and tokens of every cell used."""
        costs = [self.run.units[name].get("cost", {}) for name in self.run.used]
        return {key: sum(c.get(key, 0) for c in costs) for key in ("model_calls", "tokens")}


def prompt_tokens(target: Target, prompt: str, response: str) -> int:
    """Length of ``prompt`` with its fields empty, in the target's tokens."""
    template = Template(prompt, response)
    return target.count_tokens(template.prompt(dict.fromkeys(template.fields, "")))


def _ask(
    target: Target, prompt: str, task: Task, rows: list[Row], *, keep: bool = False
) -> dict[str, Any]:
    """Answers and scores of ``prompt`` on ``rows``; ``keep`` stores rows and answers too."""
    template = Template(prompt, task.response)
    room = answer_room(target, task.response, [*task.examples, *task.validation])
    answers, cost = target.answer([template.prompt(row) for row in rows], max_tokens=room)
    pairs = list(zip(answers, rows, strict=True))
    out: dict[str, Any] = {
        "scores": [score_answer(task.metric, answer, row, task.response) for answer, row in pairs],
        "cost": {"model_calls": cost.model_calls, "tokens": cost.tokens},
    }
    if keep:
        out["answers"] = answers
        out["rows"] = [_shown(row, task.response) for row in rows]
    return out


def _shown(row: Row, response: str) -> dict[str, str]:
    """What the report shows of a row: its input fields in one text, and the right answer."""
    given = [value for name, value in row.items() if name not in (response, "references")]
    return {"input": "\n".join(given), "reference": row[response]}


def effort_settings(effort: Effort) -> dict[str, Any]:
    """``effort`` as plain JSON, for a run's settings."""
    return asdict(effort)


def _plain(value: Any) -> Any:
    import json

    return json.loads(json.dumps(value))


def _no_target(source: str) -> Target:
    raise PromptInfillError(f"cannot open {source!r} as a target")
