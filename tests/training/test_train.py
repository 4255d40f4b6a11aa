"""Whole runs on a tiny model: what they learn, write, refuse, and how they continue."""

import json
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from helpers import save_dlm, write_jsonl
from promptinfill.errors import DataError, ModelError, RecipeError
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.training.recipe import load_recipe
from promptinfill.training.train import train

RecipeFile = Callable[..., Path]
Values = dict[str, Any]


def run(path: Path, folder: Path, *overrides: str, **how: Any) -> Values:
    return train(load_recipe(path, overrides), folder, **how)


def opened(folder: Path) -> MaskedDiffusionLM:
    return MaskedDiffusionLM.from_pretrained(folder / "model", device="cpu")


def assert_same_weights(one: Path, two: Path) -> None:
    first, second = (opened(folder).model.state_dict() for folder in (one, two))
    assert first.keys() == second.keys()
    for name, value in first.items():
        assert torch.equal(second[name], value), name


def moved(start: str, folder: Path) -> float:
    """How far the run took the weights, at most."""
    before = MaskedDiffusionLM.from_pretrained(start, device="cpu").model.state_dict()
    after = opened(folder).model.state_dict()
    assert before.keys() == after.keys()
    return max(float((after[name] - value).abs().max()) for name, value in before.items())


def logs(folder: Path) -> list[Values]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


# --- learning ---------------------------------------------------------------------------------


def test_a_run_learns_and_leaves_a_model(recipe_file: RecipeFile, tmp_path: Path, start: str):
    told: list[tuple[int, Values]] = []
    policy = {"mixture": {"response_only": 0.5, "full_sequence": 0.5}}
    path = recipe_file(
        policy=policy,
        schedule="cosine",
        training={"steps": 60, "batch_size": 8, "arguments": {"eval_steps": 20}},
    )
    out = tmp_path / "run"
    result = run(path, out, on_log=lambda step, values: told.append((step, dict(values))))
    checked = [(step, v) for step, v in told if "eval_response_loss" in v]
    assert [step for step, _ in checked] == [20, 40, 60, 60]
    first, last = checked[0][1], checked[-1][1]
    untrained = torch.log(torch.tensor(float(opened(out).vocab_size)))
    for name in ("eval_prompt_loss", "eval_response_loss", "eval_loss_per_masked_token"):
        assert last[name] < first[name] < untrained
    assert last["eval_prompt_loss"] != pytest.approx(last["eval_response_loss"], rel=0.01)

    assert result == json.loads((out / "result.json").read_text())
    assert result["steps"] == 60
    assert result["resumed_from"] is None
    tokens = result["train"]["tokens"]
    assert result["train"] == {"sequences": 10, "tokens": tokens, "too_long_left_out": 0}
    assert result["validation"]["eval_prompt_loss"] == last["eval_prompt_loss"]
    assert [line["step"] for line in logs(out)] == [step for step, _ in told]
    assert json.loads((out / "recipe.json").read_text())["policy"] == policy
    assert json.loads((out / "environment.json").read_text())["torch"] == torch.__version__
    dlm = opened(out)
    assert (dlm.conventions.policy, dlm.conventions.schedule) == (policy, "cosine")
    assert result["parameters"] == sum(p.numel() for p in dlm.model.parameters())
    assert moved(start, out) > 0.01


def test_response_only_masks_no_prompt(recipe_file: RecipeFile, tmp_path: Path):
    run(recipe_file(policy="response-only"), tmp_path / "run")
    training = [log for log in logs(tmp_path / "run") if "loss" in log]
    assert training
    assert all("response_loss" in log and "prompt_loss" not in log for log in training)
    assert "eval_prompt_loss" in logs(tmp_path / "run")[-1]  # validation still looks at both


MESSAGES = [
    {"messages": [{"role": "user", "content": w}, {"role": "assistant", "content": w[0]}]}
    for w in ("cat", "dog")
]
FIELDS = [{"word": w, "first": w[0]} for w in ("cat", "dog")]


@pytest.mark.parametrize("shape", ["messages", "template", "microtasks"])
def test_other_sources(shape: str, values: Values, recipe_file: RecipeFile, tmp_path: Path):
    other = tmp_path / "other.jsonl"
    source: Values = {"files": [write_jsonl(other, MESSAGES if shape == "messages" else FIELDS)]}
    if shape == "template":
        source |= {"template": "{word}: {first}", "response": "first"}
    if shape == "microtasks":
        source = {"microtasks": {"count": 12}}
    values["data"] |= {"train": source, "validation": source, "max_length": 128}
    result = run(recipe_file(), tmp_path / "run", "training.steps=2", "training.batch_size=2")
    assert result["train"]["sequences"] + result["train"]["too_long_left_out"] == (
        12 if shape == "microtasks" else 2
    )
    assert result["validation"]["eval_response_loss"] > 0


def test_too_long_is_reported(recipe_file: RecipeFile, tmp_path: Path):
    result = run(recipe_file(), tmp_path / "run", "data.max_length=12", "training.steps=1")
    data = result["train"]
    assert data["sequences"] + data["too_long_left_out"] == 10
    assert 0 < data["too_long_left_out"] < 10
    assert data["tokens"] <= 12 * data["sequences"]


@pytest.mark.parametrize("new", ["modernbert", "qwen2"])
def test_a_new_network(new: str, values: Values, recipe_file: RecipeFile, tmp_path: Path):
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 1}
    sizes |= {"num_attention_heads": 1, "max_position_embeddings": 128}
    sizes |= (
        {"num_key_value_heads": 1}
        if new == "qwen2"
        else {"cls_token_id": None, "sep_token_id": None}
    )
    values["model"] = {"new": {"type": new, **sizes}}
    path = recipe_file()
    for out, seed in (("a", 0), ("b", 0), ("c", 1)):
        run(path, tmp_path / out, "training.steps=1", f"seed={seed}")
    assert_same_weights(tmp_path / "a", tmp_path / "b")
    a, c = (opened(tmp_path / out) for out in "ac")
    assert a.model.config.model_type == new
    assert a.tokenizer.tokenize("the first") == ["the", "Ġfirst"]
    differ = [not torch.equal(v, c.model.state_dict()[n]) for n, v in a.model.state_dict().items()]
    assert any(differ)


def test_an_unknown_network(values: Values, recipe_file: RecipeFile, tmp_path: Path):
    values["model"] = {"new": {"type": "nosuch"}}
    with pytest.raises(RecipeError, match=r"^model.new: .*nosuch"):
        run(recipe_file(), tmp_path / "run")
    values["model"] = {"new": {"type": "gpt2"}}
    with pytest.raises(ModelError, match=r"'gpt2'.*known: Dream, bert, llada, llama"):
        run(recipe_file(), tmp_path / "run2")


# --- LoRA -------------------------------------------------------------------------------------


@pytest.mark.parametrize("family", ["modernbert", "llama"])
def test_lora_trains_adapters_and_saves_a_whole_model(
    family: str, values: Values, recipe_file: RecipeFile, tmp_path: Path
):
    start = str(save_dlm(tmp_path / "start", family, initializer_range=0.1))
    values["model"] = {"start": start}
    path, out = recipe_file(lora={"r": 2}, training={"steps": 8}), tmp_path / "run"
    run(path, out)
    assert {p.name for p in (out / "model").iterdir()} == {p.name for p in Path(start).iterdir()}
    assert moved(start, out) > 1e-4
    # Only the layers that carry adapters moved: embeddings and norms are the start's.
    before = MaskedDiffusionLM.from_pretrained(start, device="cpu").model.state_dict()
    after = opened(out).model.state_dict()
    changed = {name for name, value in before.items() if not torch.equal(after[name], value)}
    assert changed
    assert not [name for name in changed if "emb" in name or "norm" in name]
    # The checkpoint holds adapters, and the same command goes on from it.
    (checkpoint,) = (out / "checkpoints").iterdir()
    assert (checkpoint / "adapter_model.safetensors").is_file()
    shutil.copytree(out, tmp_path / "again")
    (tmp_path / "again" / "result.json").unlink()
    shutil.rmtree(tmp_path / "again" / "model")
    assert run(path, tmp_path / "again")["resumed_from"].endswith("checkpoint-8")
    assert_same_weights(out, tmp_path / "again")


# --- continuing -------------------------------------------------------------------------------

KILLED = """
import os, signal, sys
from pathlib import Path
import torch
from promptinfill.training.recipe import load_recipe
from promptinfill.training.train import train
torch.set_num_threads(1)
def on_log(step, values):
    if step == 7 and "loss" in values:
        os.kill(os.getpid(), signal.SIGKILL)
train(load_recipe(Path(sys.argv[1])), Path(sys.argv[2]), on_log=on_log)
"""

STAGES = [
    {"until": 0.5, "policy": "full_sequence"},
    {"until": 1, "policy": {"mixture": {"response_only": 1, "prompt_only": 1}}},
]


def test_a_killed_run_ends_as_one_that_was_not(recipe_file: RecipeFile, tmp_path: Path):
    """Killed at step 7 of 12, after the checkpoint of step 4, and again while writing one."""
    path = recipe_file(
        policy={"stages": STAGES},
        training={"arguments": {"logging_steps": 1, "lr_scheduler_type": "cosine"}},
    )
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    expected = run(path, whole)
    ended = subprocess.run(
        [sys.executable, "-c", KILLED, str(path), str(killed)],
        env=os.environ | {"HF_HUB_OFFLINE": "1"},
        capture_output=True,
        check=False,
        timeout=200,
    )
    assert ended.returncode == -signal.SIGKILL, ended.stderr.decode()
    assert not (killed / "result.json").exists()
    checkpoints = killed / "checkpoints"
    assert [p.name for p in checkpoints.iterdir()] == ["checkpoint-4"]
    half_written = shutil.copytree(checkpoints / "checkpoint-4", checkpoints / "checkpoint-8")
    (half_written / "trainer_state.json").write_text('{"epo')
    (half_written / "optimizer.pt").unlink()

    result = run(path, killed)
    assert result["resumed_from"] == str(checkpoints / "checkpoint-4")
    steps = [log["step"] for log in logs(killed) if "loss" in log]
    assert steps == [*range(1, 8), *range(5, 13)]  # it went on; it did not begin anew
    assert_same_weights(whole, killed)
    assert result["validation"] == expected["validation"]


def test_a_run_killed_before_its_model_was_saved(recipe_file: RecipeFile, tmp_path: Path):
    path, out = recipe_file(), tmp_path / "run"
    expected = run(path, out)
    shutil.copytree(out / "model", tmp_path / "kept" / "model")
    shutil.rmtree(out / "model")
    (out / "result.json").unlink()
    result = run(path, out)
    assert result["resumed_from"].endswith("checkpoint-12")
    assert result["validation"] == expected["validation"]
    assert_same_weights(out, tmp_path / "kept")


def test_a_finished_run_is_returned_as_it_is(recipe_file: RecipeFile, tmp_path: Path):
    path, out = recipe_file(), tmp_path / "run"
    first = run(path, out, "training.steps=1")
    shutil.rmtree(out / "checkpoints", ignore_errors=True)
    (tmp_path / "train.jsonl").unlink()  # nothing of it is needed any more
    before = {p: p.stat().st_mtime_ns for p in out.rglob("*")}
    assert run(path, out, "training.steps=1", on_log=pytest.fail) == first
    assert {p: p.stat().st_mtime_ns for p in out.rglob("*")} == before


def test_a_folder_of_another_recipe_is_refused(recipe_file: RecipeFile, tmp_path: Path):
    path, out = recipe_file(), tmp_path / "run"
    run(path, out, "training.steps=1")
    before = (out / "result.json").read_text()
    with pytest.raises(RecipeError, match=f"^{out} holds a run of another recipe"):
        run(path, out, "training.steps=1", "seed=1")
    assert (out / "result.json").read_text() == before


# --- refusing before training starts ----------------------------------------------------------


def never(*args: Any, **kwargs: Any) -> None:
    raise AssertionError("training was started")


@pytest.fixture
def no_training(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("transformers.Trainer.train", never)


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize("which", ["train", "validation"])
def test_a_bad_record_stops_the_run(
    which: str, values: Values, recipe_file: RecipeFile, tmp_path: Path
):
    broken = tmp_path / "broken.jsonl"
    write_jsonl(broken, [{"prompt": "a", "response": "b"}] * 30 + [{"prompt": "a", "answer": "b"}])
    values["data"][which] = {"files": [str(broken)]}
    with pytest.raises(DataError, match=f"^{broken}:31: field 'response' is missing"):
        run(recipe_file(), tmp_path / "run")
    assert not (tmp_path / "run" / "checkpoints").exists()


@pytest.mark.usefixtures("no_training")
@pytest.mark.parametrize(
    ("override", "error", "why"),
    [
        ("data.max_length=500", RecipeError, "data.max_length is 500.* 128 tokens only"),
        ("data.max_length=2", DataError, "max_length = 2"),
        ("training.arguments.no_such=1", RecipeError, "^training.arguments: .*no_such"),
        ("model.start=/no/such/folder", ModelError, "cannot open '/no/such/folder'"),
    ],
)
def test_a_wrong_value_stops_the_run(
    override: str, error: type[Exception], why: str, recipe_file: RecipeFile, tmp_path: Path
):
    with pytest.raises(error, match=why):
        run(recipe_file(), tmp_path / "run", override)


def test_lora_needs_its_extra(
    recipe_file: RecipeFile, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setitem(sys.modules, "peft", None)
    with pytest.raises(ModelError, match=r"pip install promptinfill\[peft\]"):
        run(recipe_file(lora={"r": 2}), tmp_path / "run")
