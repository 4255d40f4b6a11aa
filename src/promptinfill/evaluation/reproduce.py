"""``promptinfill reproduce``: the five claims as cells of one resumable run, and their verdicts.

A suite is a YAML file (``configs/reproduce/``). :func:`reproduce` walks through its cells in a
fixed order, then computes every table from them.
"""

import itertools
import math
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from pathlib import Path
from statistics import fmean
from typing import Any

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

import promptinfill
from promptinfill.errors import PromptInfillError, RecipeError
from promptinfill.evaluation.claims import (
    Claim,
    Grid,
    Roles,
    Rules,
    combined_rows,
    combining,
    compare_variants,
    matching,
    shortening,
    transferring,
    unlocking,
)
from promptinfill.evaluation.experiment import Effort, Experiment
from promptinfill.evaluation.transfer import matrix
from promptinfill.files import write_json
from promptinfill.infilling.candidates import InfillOptions
from promptinfill.infilling.run import Run
from promptinfill.targets import Target
from promptinfill.tasks import Splits

RESULT, TIMING = "reproduce.json", "timing.json"


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class RowsSection(_Section):
    """Rows of each task and seed."""

    examples: int = Field(default=20, gt=0)
    validation: int = Field(default=24, gt=0)
    test: int = Field(default=50, gt=0)


class RolesSection(_Section):
    """Names among ``models``; a claim whose roles are missing is not tested."""

    response_only: str = ""
    full_sequence: str = ""
    two_stage: str = ""
    main: str = ""


class TransferSection(_Section):
    """Whose prompts are used on whom; default: every model, and every further target."""

    sources: tuple[str, ...] = ()
    targets: tuple[str, ...] = ()


class TrainingSection(_Section):
    """A model that the suite trains itself: a recipe of ``configs/`` and changes to it."""

    recipe: str
    set: tuple[str, ...] = ()


class OptimizerSection(_Section):
    """Pairs (optimizer alone, the same combined with infilling) at one budget of metric calls.

    Names are methods of :mod:`promptinfill.optimizers.methods`.
    """

    model: str
    pairs: tuple[tuple[str, str], ...] = Field(min_length=1)
    tasks: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = (0,)
    budget: int = Field(default=160, gt=0)


class AblationSection(_Section):
    """Variants of infilling on one model, and trained variants, each against its baseline.

    ``variants`` are changes to the infilling options; ``trained`` compares models with
    ``trained_baseline``. All are tested on the claims' test rows, and count as test touches.
    """

    model: str
    tasks: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = (0,)
    variants: dict[str, dict[str, Any]] = Field(default_factory=dict)
    trained: tuple[str, ...] = ()
    trained_baseline: str = ""


class Suite(_Section):
    """A whole suite; see ``configs/reproduce/quick.yaml`` for one with comments."""

    description: str = ""
    models: dict[str, str]
    targets: dict[str, str] = Field(default_factory=dict)
    roles: RolesSection
    tasks: tuple[str, ...] = Field(min_length=1)
    seeds: tuple[int, ...] = Field(default=(0,), min_length=1)
    rows: RowsSection = RowsSection()
    candidates: int = Field(default=16, gt=0)
    wordings: int = Field(default=4, gt=0)
    infill: dict[str, Any] = Field(default_factory=dict)
    transfer: TransferSection = TransferSection()
    trainings: dict[str, TrainingSection] = Field(default_factory=dict)
    ablations: AblationSection | None = None
    optimizers: OptimizerSection | None = None
    rules: Rules = Rules()
    in_memory: int = Field(default=8, gt=0)

    @model_validator(mode="after")
    def _names(self) -> "Suite":
        models = {*self.models, *self.trainings}
        known = models | {*self.targets}
        used = {f"roles.{k}": (v, models) for k, v in self.roles.model_dump().items() if v}
        used |= {f"transfer.sources {name}": (name, models) for name in self.transfer.sources}
        used |= {f"transfer.targets {name}": (name, known) for name in self.transfer.targets}
        if self.ablations:
            names = [self.ablations.model, *self.ablations.trained]
            names += [self.ablations.trained_baseline] if self.ablations.trained else []
            used |= {f"ablations {name}": (name, models) for name in names}
            if extra := sorted({*self.ablations.tasks} - {*self.tasks}):
                raise ValueError(f"ablations.tasks: {extra[0]!r} is not among 'tasks'")
            if not {*self.ablations.seeds} <= {*self.seeds}:
                raise ValueError("ablations.seeds must be among 'seeds'")
        if self.optimizers:
            used["optimizers.model"] = (self.optimizers.model, models)
            if extra := sorted({*self.optimizers.tasks} - {*self.tasks}):
                raise ValueError(f"optimizers.tasks: {extra[0]!r} is not among 'tasks'")
        for where, (name, allowed) in used.items():
            if name not in allowed:
                raise ValueError(f"{where}: no model {name!r}; known: {', '.join(sorted(allowed))}")
        return self

    def options(self, **changes: Any) -> InfillOptions:
        """The infilling options, changed by ``changes``; RecipeError on an unknown one."""
        values = self.infill | changes
        values = {k: tuple(v) if isinstance(v, list) else v for k, v in values.items()}
        try:
            return InfillOptions(**values)
        except TypeError as error:
            raise RecipeError(f"infill: {error}") from None


def config_root() -> Path:
    """``configs/``: beside the sources in a checkout, inside the package when installed."""
    package = Path(promptinfill.__file__).parent
    inside = package / "configs"
    return inside if inside.is_dir() else package.parents[1] / "configs"


def preset_names() -> list[str]:
    """The suites that come with promptinfill."""
    return sorted(path.stem for path in (config_root() / "reproduce").glob("*.yaml"))


def load_suite(path: Path) -> Suite:
    """Read and check a suite; RecipeError names file and field."""
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"cannot read suite {path}: {error.strerror}") from None
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        line = getattr(getattr(error, "problem_mark", None), "line", None)
        where = path if line is None else f"{path}:{line + 1}"
        raise RecipeError(f"{where}: not valid YAML") from None
    if not isinstance(values, dict):
        raise RecipeError(f"{path}: a suite is a mapping with 'models', 'roles' and 'tasks'")
    try:
        suite = Suite.model_validate(values)
        for changes in (suite.ablations.variants if suite.ablations else {}).values():
            suite.options(**changes)
        suite.options()
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "suite"
        raise RecipeError(f"{path}: {where}: {first['msg']}") from None
    except PromptInfillError as error:
        raise RecipeError(f"{path}: {error}") from None
    return suite


def load_preset(name: str) -> Suite:
    """A suite that comes with promptinfill, by name."""
    if name not in preset_names():
        raise RecipeError(f"unknown preset {name!r}; known: {', '.join(preset_names())}")
    return load_suite(config_root() / "reproduce" / f"{name}.yaml")


@dataclass(frozen=True)
class Step:
    """A finished cell, for progress displays."""

    label: str
    done: int
    total: int


def reproduce(
    suite: Suite,
    folder: str | Path | None = None,
    *,
    open_target: Callable[[str], Target] | None = None,
    on_step: Callable[[Step], None] | None = None,
) -> dict[str, Any]:
    """Run every cell of ``suite`` that ``folder`` lacks, and compute the tables.

    Args:
        suite: what to run.
        folder: run folder; the same call continues a killed run and ends with the same tables.
            None keeps nothing (and cannot train).
        open_target: opens the suite's further targets.
        on_step: called after each cell, finished now or before.

    Returns:
        {"claims", "models", "transfer", "ablations", "test_touches", "cost", "seconds"}: plain
        JSON, equal for equal suites but for the seconds.
    """
    started = time.monotonic()
    where = None if folder is None else Path(folder)
    rows = Splits(suite.rows.examples, suite.rows.validation, suite.rows.test)
    effort = Effort(rows, suite.candidates, suite.options(), suite.wordings)
    settings = {
        "kind": "reproduce",
        "promptinfill": promptinfill.__version__,
        "suite": suite.model_dump(mode="json"),
    }
    run = Run(where, settings)
    trained = {name: str(_model_folder(where, name)) for name in suite.trainings}
    experiment = Experiment(
        run,
        suite.models | trained,
        effort,
        targets=suite.targets,
        open_target=open_target,
        in_memory=suite.in_memory,
    )
    steps = _steps(suite, experiment, where)
    for number, (label, compute) in enumerate(steps, start=1):
        compute()
        if on_step:
            on_step(Step(label, number, len(steps)))
    result = _tables(suite, experiment)
    if where is not None:
        write_json(where / RESULT, result)
    seconds = round(time.monotonic() - started, 1)
    if where is not None:
        write_json(where / TIMING, {"seconds": seconds})
    return result | {"seconds": seconds}


def _steps(
    suite: Suite, experiment: Experiment, folder: Path | None
) -> list[tuple[str, Callable[[], Any]]]:
    """Every cell in a fixed order, model by model so that few have to be open at a time."""
    steps: list[tuple[str, Callable[[], Any]]] = []
    for name, training in suite.trainings.items():
        steps.append((f"train {name}", partial(_train, experiment, folder, name, training)))
    choices = [(task, seed) for task in suite.tasks for seed in suite.seeds]
    for model in _claim_models(suite):
        for task, seed in choices:
            steps.append((f"{model}: {task}", partial(_own, experiment, model, task, seed)))
    sources, targets = _transfer(suite)
    for target in targets:
        for task, seed in choices:
            work = partial(_foreign, experiment, sources, target, task, seed)
            steps.append((f"prompts of others on {target}: {task}", work))
    if ablations := suite.ablations:
        cells = [(task, seed) for task in ablations.tasks for seed in ablations.seeds]
        for name in ablations.variants:
            for task, seed in cells:
                variant = partial(_variant, suite, experiment, name, task, seed)
                steps.append((f"ablation {name}: {task}", variant))
        for model in _trained(ablations):
            for task, seed in cells:
                steps.append((f"{model}: {task}", partial(_own, experiment, model, task, seed)))
    if optimizers := suite.optimizers:
        for method in dict.fromkeys(name for pair in optimizers.pairs for name in pair):
            for task, seed in itertools.product(optimizers.tasks, optimizers.seeds):
                search = partial(_optimized, optimizers, experiment, method, task, seed)
                steps.append((f"{method}: {task}", search))
    return steps


def _claim_models(suite: Suite) -> list[str]:
    sources, targets = _transfer(suite)
    named = [*suite.roles.model_dump().values(), *sources, *targets]
    return [name for name in dict.fromkeys(named) if name and name not in suite.targets]


def _transfer(suite: Suite) -> tuple[list[str], list[str]]:
    sources = list(suite.transfer.sources or suite.models)
    return sources, list(suite.transfer.targets or [*suite.models, *suite.targets])


def _trained(ablations: AblationSection) -> list[str]:
    base = [ablations.trained_baseline] if ablations.trained else []
    return [*base, *ablations.trained]


def _own(experiment: Experiment, model: str, task: str, seed: int) -> None:
    """Both prompts of one model, chosen, and tested on itself."""
    for choose in (experiment.infilled, experiment.manual):
        experiment.tested(model, choose(model, task, seed).prompt, task, seed)


def _foreign(experiment: Experiment, sources: list[str], target: str, task: str, seed: int) -> None:
    experiment.tested(target, experiment.manual(target, task, seed).prompt, task, seed)
    for source in sources:
        prompt = experiment.infilled(source, task, seed).prompt
        experiment.tested(target, prompt, task, seed)


def _variant(suite: Suite, experiment: Experiment, name: str, task: str, seed: int) -> list[float]:
    """Test scores of the prompt that one variant of infilling finds."""
    assert suite.ablations is not None
    model, changes = suite.ablations.model, suite.ablations.variants[name]
    options = suite.options(**changes)
    chosen = experiment.infilled(model, task, seed, variant=name, options=options)
    return experiment.tested(model, chosen.prompt, task, seed)


def _variant_accuracy(
    suite: Suite, experiment: Experiment, name: str, task: str, seed: int
) -> float:
    return fmean(_variant(suite, experiment, name, task, seed))


def _optimized(
    section: OptimizerSection, experiment: Experiment, method: str, task: str, seed: int
) -> list[float]:
    """Test scores of the prompt that one optimizer finds within the budget."""
    from promptinfill.optimizers.methods import optimize_prompt

    def compute() -> dict[str, Any]:
        found = optimize_prompt(
            method,
            experiment.task(task, seed),
            dlm=experiment.dlm(section.model),
            target=experiment.target(section.model),
            budget=section.budget,
            seed=seed,
            options=experiment.effort.options,
        )
        both = found.target_cost + found.proposer_cost
        return {
            "cell": "optimize",
            "model": section.model,
            "method": method,
            "task": task,
            "seed": seed,
            "prompt": found.prompt,
            "validation": found.score,
            "tokens": found.tokens,
            "metric_calls": found.metric_calls,
            "cost": {"model_calls": both.model_calls, "tokens": both.tokens},
        }

    cell = experiment.run.unit(f"optimize {section.model} {task} {seed} {method}", compute)
    return experiment.tested(section.model, cell["prompt"], task, seed)


def _optimizers(suite: Suite, experiment: Experiment) -> list[dict[str, Any]]:
    """Each pair's accuracies and paired difference, Holm over the pairs."""
    section = suite.optimizers
    if section is None:
        return []
    grid = Grid(experiment, section.tasks, section.seeds)

    def values(method: str) -> list[float]:
        return grid.by_task(
            lambda task, seed: fmean(_optimized(section, experiment, method, task, seed))
        )

    return combined_rows({pair: (values(pair[0]), values(pair[1])) for pair in section.pairs})


def _model_folder(folder: Path | None, name: str) -> Path:
    return (folder or Path()) / "trainings" / name / "model"


def _train(
    experiment: Experiment, folder: Path | None, name: str, training: TrainingSection
) -> None:
    from promptinfill.training.recipe import load_recipe
    from promptinfill.training.train import train

    if folder is None:
        raise PromptInfillError("a suite with trainings needs a run folder: give --out")
    recipe = load_recipe(config_root() / training.recipe, training.set)

    def compute() -> dict[str, Any]:
        train(recipe, folder / "trainings" / name, cache=folder / "cache")
        return {"cell": "train", "model": name}

    experiment.run.unit(f"train {name}", compute)


# -- tables ----------------------------------------------------------------------------------------


def _tables(suite: Suite, experiment: Experiment) -> dict[str, Any]:
    grid = Grid(experiment, suite.tasks, suite.seeds)
    roles = Roles(**suite.roles.model_dump())
    sources, targets = _transfer(suite)
    optimizers = _optimizers(suite, experiment)
    claims: list[Claim] = [
        unlocking(grid, roles, suite.rules),
        matching(grid, roles, suite.rules),
        transferring(grid, sources, targets, suite.rules),
        combining(optimizers, suite.rules),
        shortening(grid, roles),
    ]
    return {
        "claims": [asdict(claim) for claim in claims],
        "models": [_model_row(grid, name) for name in _claim_models(suite)],
        "transfer": matrix(grid, sources, targets),
        "ablations": _ablations(suite, experiment),
        "optimizers": optimizers,
        "test_touches": experiment.test_touches(),
        "cost": experiment.cost(),
    }


def _model_row(grid: Grid, model: str) -> dict[str, Any]:
    """Per-task accuracies of one model under both prompts, and the prompts."""
    experiment = grid.experiment
    infilled, manual = grid.infilled(model), grid.manual(model)
    tasks: list[dict[str, Any]] = []
    for task in grid.tasks:
        own = [experiment.infilled(model, task, seed) for seed in grid.seeds]
        lengths = [c.tokens for c in own if c.tokens is not None]
        tasks.append(
            {
                "task": task,
                "infilled": fmean(infilled(task, seed) for seed in grid.seeds),
                "manual": fmean(manual(task, seed) for seed in grid.seeds),
                "tokens": fmean(lengths) if lengths else None,
                "manual_tokens": fmean(
                    experiment.manual(model, task, seed).tokens or 0 for seed in grid.seeds
                ),
                "prompts": [c.prompt for c in own],
            }
        )
    mean = {key: math.fsum(t[key] for t in tasks) / len(tasks) for key in ("infilled", "manual")}
    return {"model": model, **mean, "tasks": tasks}


def _ablations(suite: Suite, experiment: Experiment) -> list[dict[str, Any]]:
    ablations = suite.ablations
    if ablations is None:
        return []
    grid = Grid(experiment, ablations.tasks, ablations.seeds)
    groups = []
    if ablations.variants:
        base = grid.by_task(grid.infilled(ablations.model))
        variants = {}
        for name in ablations.variants:
            variants[name] = grid.by_task(partial(_variant_accuracy, suite, experiment, name))
        groups.append(_group("infilling", ablations.model, base, variants))
    if ablations.trained:
        for kind in ("infilled", "manual"):
            read: Callable[[str], Any] = getattr(grid, kind)
            base = grid.by_task(read(ablations.trained_baseline))
            found = {name: grid.by_task(read(name)) for name in ablations.trained}
            groups.append(_group(f"training, {kind}", ablations.trained_baseline, base, found))
    return groups


def _group(
    name: str, baseline: str, base: list[float], variants: dict[str, list[float]]
) -> dict[str, Any]:
    rows = [asdict(c) for c in compare_variants(base, dict(variants))]
    return {"name": name, "baseline": baseline, "figure": fmean(base), "rows": rows}
