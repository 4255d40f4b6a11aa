from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from promptinfill.errors import RecipeError
from promptinfill.training.recipe import Recipe, load_recipe

RecipeFile = Callable[..., Path]


def refused(path: Path, *parts: str, overrides: tuple[str, ...] = ()) -> None:
    with pytest.raises(RecipeError) as caught:
        load_recipe(path, overrides)
    message = str(caught.value)
    assert "\n" not in message
    for part in parts:
        assert part in message


def test_a_recipe_with_its_defaults(recipe_file: RecipeFile):
    recipe = load_recipe(recipe_file())
    assert recipe.policy == "full_sequence"
    assert recipe.schedule == "linear"
    assert (recipe.loss.time, recipe.loss.normalisation) == ("schedule", "token")
    assert recipe.data.packed_length is None
    assert recipe.lora is None
    assert recipe.seed == 0


def test_a_recipe_survives_json(recipe_file: RecipeFile):
    """What recipe.json holds is the recipe, so that a run's folder can be told from another's."""
    recipe = load_recipe(recipe_file(lora={"r": 2}, policy={"mixture": {"full_sequence": 1}}))
    assert Recipe.model_validate(recipe.model_dump(mode="json")) == recipe


def test_overrides_are_yaml_values(recipe_file: RecipeFile):
    recipe = load_recipe(
        recipe_file(),
        (
            "training.steps=7",
            "loss.prompt=0.3",
            "policy={mixture: {response_only: 1, full_sequence: 1}}",
            "lora.target_modules=[q_proj]",
            "training.arguments.lr_scheduler_type=cosine",
            "data.train.response=null",
            "schedule=cosine",
        ),
    )
    assert recipe.training.steps == 7
    assert recipe.loss.prompt == 0.3
    assert recipe.policy == {"mixture": {"response_only": 1, "full_sequence": 1}}
    assert recipe.lora is not None
    assert recipe.lora.target_modules == ["q_proj"]
    assert recipe.training.arguments["lr_scheduler_type"] == "cosine"
    assert recipe.training.arguments["save_steps"] == 4  # its neighbours stay
    assert recipe.data.train.response is None
    assert recipe.schedule == "cosine"


@pytest.mark.parametrize(
    ("changes", "parts"),
    [
        ({"polcy": "full_sequence"}, ("polcy", "not permitted")),
        ({"training": {"stepz": 1}}, ("training.stepz", "not permitted")),
        ({"data": {"train": {"hub": {"name": "x"}}}}, ("data.train.hub",)),
        ({"training": {"steps": 0}}, ("training.steps", "greater than 0")),
        ({"training": {"learning_rate": "fast"}}, ("training.learning_rate", "number")),
        ({"model": {"new": {"type": "bert"}}}, ("model", "exactly one of 'start'", "'new'")),
        ({"model": {"start": None}}, ("model", "exactly one of 'start'")),
        ({"data": {"train": {"microtasks": {"count": 1}}}}, ("data.train", "exactly one")),
        ({"data": {"train": {"template": "{a}{b}"}}}, ("data.train", "go together")),
        ({"data": {"max_length": 1}}, ("data.max_length", "greater than 1")),
        ({"loss": {"time": "linear"}}, ("loss.time", "'schedule' or 'uniform'")),
        ({"loss": {"prompt": -1}}, ("loss.prompt", "greater than or equal to 0")),
        ({"loss": {"prompt": 0, "response": 0}}, ("at least one above 0",)),
        ({"loss": {"balance_regions": True, "normalisation": "batch"}}, ("balance_regions",)),
        ({"policy": "ful_sequence"}, ("'ful_sequence'", "full_sequence", "mixture")),
        ({"policy": {"mixture": {"nope": 1}}}, ("'nope'", "response_only")),
        ({"policy": {"stages": [{"until": 0.5, "policy": "prompt_only"}]}}, ("until 1",)),
        ({"schedule": "log"}, ("'log'", "linear, cosine, log_linear")),
    ],
)
def test_errors_name_the_file_and_the_field(
    changes: dict[str, Any], parts: tuple[str, ...], recipe_file: RecipeFile
):
    path = recipe_file(**changes)
    refused(path, str(path), *parts)


def test_a_section_is_missing(recipe_file: RecipeFile, tmp_path: Path):
    values = yaml.safe_load(recipe_file().read_text())
    del values["training"]["batch_size"]
    path = tmp_path / "short.yaml"
    path.write_text(yaml.safe_dump(values))
    refused(path, str(path), "training.batch_size", "required")


@pytest.mark.parametrize(
    ("text", "parts"),
    [
        (b"model:\n  start: x\n bad: y\n", (":3:", "not valid YAML")),
        (b"a: [1\nb: 2\n", (":2:", "not valid YAML")),
        (b"- model\n", ("a recipe is a mapping",)),
        (b"", ("a recipe is a mapping",)),
        (b"a: \xff\n", ("not valid YAML",)),
        (b"a: \x01\n", ("not valid YAML",)),
        (b"a: !!python/object:os.system {}\n", (":1:", "not valid YAML")),
    ],
)
def test_a_broken_file_is_named_with_its_line(text: bytes, parts: tuple[str, ...], tmp_path: Path):
    path = tmp_path / "recipe.yaml"
    path.write_bytes(text)
    refused(path, str(path), *parts)


def test_a_file_that_is_not_there(tmp_path: Path):
    refused(tmp_path / "no.yaml", "cannot read recipe", str(tmp_path / "no.yaml"))


@pytest.mark.parametrize(
    ("override", "part"),
    [
        ("training.steps", "must look like training.steps=100"),
        ("training.stepz=3", "training.stepz"),
        ("seed.x=3", "'seed' is not a section"),
        ("training.steps=many", "training.steps"),
        ("training.steps=[1", "is not a YAML value"),
    ],
)
def test_a_wrong_override_is_named(override: str, part: str, recipe_file: RecipeFile):
    path = recipe_file(seed=1)
    refused(path, part, overrides=(override,))


def test_the_shipped_recipes_are_valid():
    configs = sorted((Path(__file__).parents[2] / "configs").rglob("*.yaml"))
    found = [path for path in configs if path.parent.name != "reproduce"]  # those are suites
    assert found
    for path in found:
        recipe = load_recipe(path)
        assert recipe.training.steps > 0


def test_the_recipes_own_fields_cannot_be_overridden_by_arguments(tmp_path: Path):
    from promptinfill.training.train import training_arguments

    values = {
        "model": {"start": "somewhere"},
        "data": {"train": {"files": ["a"]}, "validation": {"files": ["a"]}},
        "training": {"steps": 5, "batch_size": 2, "learning_rate": 0.1},
    }
    for name in ("max_steps", "seed", "per_device_train_batch_size", "output_dir"):
        values["training"]["arguments"] = {name: 1}
        with pytest.raises(RecipeError, match=rf"^training.arguments.{name}: give it as "):
            training_arguments(Recipe.model_validate(values), tmp_path)


def test_packed_rows_hold_the_longest_sequence(tmp_path: Path):
    path = tmp_path / "recipe.yaml"
    path.write_text(
        "model: {start: x}\ntraining: {steps: 1, batch_size: 1, learning_rate: 1}\n"
        "data: {train: {files: [a]}, validation: {files: [a]}, max_length: 64, packed_length: 32}\n"
    )
    with pytest.raises(RecipeError, match=r"packed_length is 32: a row must hold .*64 tokens"):
        load_recipe(path)
