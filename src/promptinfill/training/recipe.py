"""A training recipe: the YAML file that says what is trained, on what, and what is masked."""

from pathlib import Path
from typing import Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from promptinfill.errors import RecipeError


class _Section(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class ModelSection(_Section):
    """Where the weights start: a checkpoint (``start``), or a new network (``new``).

    ``new`` holds ``type`` (a transformers model_type) and the arguments of its config class; its
    tokenizer is the word-and-character tokenizer of the micro-tasks.
    """

    start: str | None = None
    new: dict[str, Any] | None = None

    @model_validator(mode="after")
    def _one_of(self) -> "ModelSection":
        if (self.start is None) == (self.new is None):
            raise ValueError("give exactly one of 'start' (a checkpoint) and 'new' (a config)")
        return self


class MicroTasks(_Section):
    """Records of the micro-task generator: ``count`` of them from ``seed``."""

    count: int = Field(gt=0)
    seed: int = 0
    split: Literal["train", "test"] = "train"


class HubData(_Section):
    """A data set of the hub, read through the ``datasets`` library."""

    id: str
    split: str = "train"
    revision: str | None = None


class Source(_Section):
    """One source of records: the generator, JSONL files, or the hub."""

    microtasks: MicroTasks | None = None
    files: tuple[str, ...] = ()
    hub: HubData | None = None
    template: str | None = None
    response: str | None = None

    @model_validator(mode="after")
    def _one_of(self) -> "Source":
        if sum([self.microtasks is not None, bool(self.files), self.hub is not None]) != 1:
            raise ValueError("give exactly one of 'microtasks', 'files' and 'hub'")
        if (self.template is None) != (self.response is None):
            raise ValueError("'template' and 'response' (the response's field) go together")
        return self


class DataSection(_Section):
    """What is trained on and validated on, and how it is cut into batches.

    ``eos_padding`` is the most EOS tokens that follow a response's own, drawn for each record: a
    canvas at inference is usually longer than the answer, and the model has to know what to do with
    the rest. ``packed_length`` packs sequences into rows of so many tokens.
    """

    train: Source
    validation: Source
    max_length: int = Field(default=256, gt=1)
    eos_padding: int = Field(default=16, ge=0)
    packed_length: int | None = Field(default=None, gt=1)

    @model_validator(mode="after")
    def _rows_hold_sequences(self) -> "DataSection":
        if self.packed_length is not None and self.packed_length < self.max_length:
            raise ValueError(
                f"packed_length is {self.packed_length}: a row must hold a sequence of max_length "
                f"= {self.max_length} tokens"
            )
        return self


class LossSection(_Section):
    """Weights of the objective; see ``diffusion.objective.LossWeights``."""

    time: Literal["schedule", "uniform"] = "schedule"
    prompt: float = Field(default=1.0, ge=0)
    response: float = Field(default=1.0, ge=0)
    balance_regions: bool = False
    normalisation: Literal["token", "sequence", "batch"] = "token"


class LoraSection(_Section):
    """Arguments of peft's LoraConfig."""

    r: int = Field(default=8, gt=0)
    alpha: int = Field(default=16, gt=0)
    dropout: float = 0.0
    target_modules: str | list[str] = "all-linear"


class TrainingSection(_Section):
    """Steps and optimizer; ``arguments`` go to transformers' TrainingArguments as they are.

    ``stratified_times`` spreads the times of a batch evenly: a loss of lower variance.
    """

    steps: int = Field(gt=0)
    batch_size: int = Field(gt=0)
    learning_rate: float = Field(gt=0)
    warmup_steps: int = Field(default=100, ge=0)
    stratified_times: bool = False
    arguments: dict[str, Any] = Field(default_factory=dict)


class Recipe(_Section):
    """A whole run. ``seed`` decides initial weights, batch order and every drawn mask."""

    model: ModelSection
    data: DataSection
    policy: Any = "full_sequence"
    schedule: str = "linear"
    loss: LossSection = LossSection()
    training: TrainingSection
    lora: LoraSection | None = None
    seed: int = 0


def load_recipe(path: Path, overrides: tuple[str, ...] = ()) -> Recipe:
    """Read and check a YAML recipe.

    Args:
        path: the file.
        overrides: ``"training.steps=100"`` style changes, parsed as YAML values.

    Raises:
        RecipeError: not readable, not YAML, an unknown key, a value out of range; the message names
            file and field.
    """
    try:
        values = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise RecipeError(f"cannot read recipe {path}: {error.strerror}") from None
    except yaml.MarkedYAMLError as error:
        line = error.problem_mark.line + 1 if error.problem_mark else "?"
        raise RecipeError(f"{path}:{line}: not valid YAML ({error.problem})") from None
    except (yaml.YAMLError, UnicodeDecodeError):
        raise RecipeError(f"{path}: not valid YAML (it is not UTF-8 text)") from None
    if not isinstance(values, dict):
        raise RecipeError(f"{path}: a recipe is a mapping with 'model', 'data' and 'training'")
    for override in overrides:
        _apply(values, override)
    try:
        recipe = Recipe.model_validate(values)
    except ValidationError as error:
        first = error.errors()[0]
        where = ".".join(str(part) for part in first["loc"]) or "recipe"
        raise RecipeError(f"{path}: {where}: {first['msg']}") from None
    _check_names(recipe, path)
    return recipe


def _apply(values: dict[str, Any], override: str) -> None:
    key, equals, text = override.partition("=")
    if not equals:
        raise RecipeError(f"override {override!r} must look like training.steps=100")
    *parents, last = key.split(".")
    for parent in parents:
        values = values.setdefault(parent, {})
        if not isinstance(values, dict):
            raise RecipeError(f"override {override!r}: {parent!r} is not a section")
    try:
        values[last] = yaml.safe_load(text)
    except yaml.YAMLError:
        raise RecipeError(f"override {override!r}: {text!r} is not a YAML value") from None


def _check_names(recipe: Recipe, path: Path) -> None:
    from promptinfill.diffusion.masking import parse_policy
    from promptinfill.diffusion.objective import LossWeights
    from promptinfill.diffusion.schedules import get_schedule

    try:
        parse_policy(recipe.policy)
        get_schedule(recipe.schedule)
        LossWeights(**recipe.loss.model_dump())
    except RecipeError as error:
        raise RecipeError(f"{path}: {error}") from None
