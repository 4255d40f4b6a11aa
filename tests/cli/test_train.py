import json
from pathlib import Path

import pytest
import yaml

from .conftest import Cli


@pytest.fixture
def recipe(tmp_path: Path, tiny: str) -> str:
    data = tmp_path / "train.jsonl"
    records = [{"prompt": f"give the first letter of {w}", "response": w[0]} for w in "abcdefgh"]
    data.write_text("".join(json.dumps(record) + "\n" for record in records))
    source = {"files": [str(data)]}
    path = tmp_path / "recipe.yaml"
    arguments = {"logging_steps": 1, "eval_steps": 2, "save_steps": 2}
    steps = {"steps": 50, "batch_size": 4, "learning_rate": 1e-3, "arguments": arguments}
    values = {
        "model": {"start": tiny},
        "data": {"train": source, "validation": source, "max_length": 64},
        "training": steps,
    }
    path.write_text(yaml.safe_dump(values))
    return str(path)


def test_train_then_use_the_model(cli: Cli, recipe: str, tmp_path: Path) -> None:
    out = tmp_path / "run"
    given = ("train", recipe, "--out", out, "--set", "training.steps=2", "--cache", tmp_path / "c")
    found = cli(*given, "--json").json
    assert found["steps"] == 2
    assert found["model"] == str(out / "model")
    assert found["use"].endswith(f"--model {out / 'model'}")
    assert found["train"]["sequences"] == 8
    answer = cli("generate", "--model", found["model"], "--prompt", "word", "--max-tokens", 2)
    assert answer.code == 0

    again = cli(*given)  # finished: shown as it is, for people this time
    assert again.code == 0
    assert again.err == ""
    text = again.out.replace("\n", "")
    assert f"The model is in {out / 'model'}" in text
    assert found["use"] in text


def test_another_recipe_in_the_same_folder(cli: Cli, recipe: str, tmp_path: Path) -> None:
    given = ("train", recipe, "--out", tmp_path / "run", "--json", "--set")
    assert cli(*given, "training.steps=1").code == 0
    ran = cli(*given, "training.steps=2")
    assert ran.code == 2
    assert "another recipe" in ran.sentence


def test_bad_override(cli: Cli, recipe: str, tmp_path: Path) -> None:
    ran = cli("train", recipe, "--out", tmp_path / "run", "--set", "training.stepz=2")
    assert ran.code == 2
    assert "training.stepz" in ran.sentence


def test_interrupt_names_the_folder(
    cli: Cli, recipe: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def stop(*args: object, **kwargs: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("promptinfill.training.train.train", stop)
    ran = cli("train", recipe, "--out", tmp_path / "run")
    assert ran.code == 130
    assert str(tmp_path / "run") in ran.sentence
    assert "same command continues" in ran.sentence
