"""The suite: its contract, its resuming, its rules, and what is wrong with a bad one."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path

import pytest
from suite import make_suite, save_model

from promptinfill.errors import ModelError, PromptInfillError, RecipeError
from promptinfill.evaluation.reproduce import (
    config_root,
    load_preset,
    load_suite,
    preset_names,
    reproduce,
)
from promptinfill.training.recipe import load_recipe

VERDICTS = {"holds", "does not hold", "not tested"}
STOPS = (1, 2, 7, 12)


@pytest.fixture(scope="module")
def whole(two_models, tmp_path_factory):
    folder = tmp_path_factory.mktemp("whole") / "run"
    steps = []
    result = reproduce(make_suite(*two_models), folder, on_step=steps.append)
    assert [s.done for s in steps] == list(range(1, steps[0].total + 1))
    return folder, result


def test_five_claims_with_figures_or_reasons(whole):
    _, result = whole
    assert [c["id"] for c in result["claims"]] == [1, 2, 3, 4, 5]
    for claim in result["claims"]:
        assert claim["verdict"] in VERDICTS
        if claim["verdict"] == "not tested":
            assert claim["figure"] is None
            assert claim["reason"]
        else:
            assert claim["low"] <= claim["figure"] <= claim["high"]
    assert result["claims"][3]["reason"] == "this suite has no optimizers"
    assert result["ablations"][0]["rows"][0]["variant"] == "one example"


def test_test_rows_meet_each_prompt_once(whole):
    folder, result = whole
    cells = [json.loads(line)["value"] for line in (folder / "work.jsonl").open()]
    tests = [c for c in cells if c["cell"] == "test"]
    keys = [(c["target"], c["task"], c["seed"], c["prompt"]) for c in tests]
    assert len(keys) == len(set(keys)) == result["test_touches"]["prompts_tested"]
    assert result["test_touches"]["answers"] == sum(len(c["scores"]) for c in tests)
    assert result["test_touches"]["test_sets"] == 2


def test_killed_anywhere_it_loses_no_cell_and_ends_the_same(two_models, whole, tmp_path):
    folder, _ = whole
    lines = (folder / "work.jsonl").read_bytes().splitlines(keepends=True)
    stops = (*STOPS, len(lines) - 1, len(lines))
    script = Path(__file__).with_name("suite.py")
    command = [sys.executable, str(script), *two_models, str(tmp_path), *map(str, stops)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [-signal.SIGKILL] * len(stops)
    for stop in stops:
        killed = tmp_path / str(stop)
        assert (killed / "work.jsonl").read_bytes() == b"".join(lines[:stop])
        assert not (killed / "reproduce.json").exists()
        with (killed / "work.jsonl").open("ab") as file:  # and a line cut short
            file.write(b'{"unit": "inf')
        reproduce(make_suite(*two_models), killed)
        for name in ("work.jsonl", "reproduce.json"):
            assert (killed / name).read_bytes() == (folder / name).read_bytes(), (stop, name)


def test_other_settings_or_weights_are_not_mixed_into_a_run(two_models, whole, tmp_path):
    folder, _ = whole
    copy = shutil.copytree(folder, tmp_path / "run")
    with pytest.raises(PromptInfillError, match="other settings"):
        reproduce(make_suite(*two_models, candidates=3), copy)
    own = tmp_path / "model"
    save_model(own, 0)
    small = {"tasks": ["first_letter"], "ablations": None}
    reproduce(make_suite(str(own), two_models[1], **small), tmp_path / "own")
    save_model(own, 5)
    lines = (tmp_path / "own/work.jsonl").read_text().splitlines(keepends=True)
    (tmp_path / "own/work.jsonl").write_text("".join(lines[:2]))
    with pytest.raises(ModelError, match="not those that this run began with"):
        reproduce(make_suite(str(own), two_models[1], **small), tmp_path / "own")


def test_claims_without_their_models_are_not_tested(two_models):
    a, b = two_models
    suite = make_suite(a, b, models={"b": b}, roles={"main": "b"}, ablations=None)
    verdicts = {c["id"]: c["verdict"] for c in reproduce(suite)["claims"]}
    assert verdicts[1] == verdicts[3] == "not tested"
    assert verdicts[2] in VERDICTS - {"not tested"}


def test_the_same_model_twice_is_no_transfer(two_models):
    a, _ = two_models
    suite = make_suite(a, a, tasks=["first_letter"], ablations=None)
    claim = reproduce(suite)["claims"][2]
    assert (claim["verdict"], claim["reason"]) == ("not tested", "needs two different models")


def test_presets_are_whole():
    assert {"quick", "full", "llada-8b", "dream-7b"} <= set(preset_names())
    for name in preset_names():
        suite = load_preset(name)
        assert suite.description
        for training in suite.trainings.values():
            assert load_recipe(config_root() / training.recipe, training.set).training.steps > 0
    with pytest.raises(RecipeError, match=r"unknown preset 'quik'; known: dream-7b"):
        load_preset("quik")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("- 1", "a suite is a mapping"),
        ("a: [", r"bad\.yaml:1: not valid YAML"),
        ("models: {a: x}\nroles: {}\ntasks: []", "tasks: Tuple should have at least 1"),
        ("models: {a: x}\nroles: {main: b}\ntasks: [sum]", r"roles\.main: no model 'b'; known: a"),
        ("models: {a: x}\nroles: {}\ntasks: [sum]\nspeed: 1", "speed: Extra inputs"),
        ("models: {a: x}\nroles: {}\ntasks: [sum]\ninfill: {hole: 3}", "infill: .*'hole'"),
        ("models: {a: x}\nroles: {}\ntasks: [sum]\ninfill: {examples: 0}", "examples is 0"),
        (
            "models: {a: x}\nroles: {}\ntasks: [sum]\nablations: {model: a, tasks: [plural]}",
            "ablations.tasks: 'plural' is not among 'tasks'",
        ),
    ],
)
def test_a_bad_suite_is_an_error_with_its_place(tmp_path, text, message):
    path = tmp_path / "bad.yaml"
    path.write_text(text)
    with pytest.raises(RecipeError, match=message):
        load_suite(path)
    with pytest.raises(RecipeError, match="cannot read suite"):
        load_suite(tmp_path / "none.yaml")


def test_a_suite_trains_and_compares_its_own_models(two_models, tmp_path):
    a, b = two_models
    changes = (
        f"model.start={a}",
        "data.train.microtasks.count=40",
        "data.validation.microtasks.count=8",
        "training.steps=2",
        "training.batch_size=4",
        "training.arguments.dataloader_num_workers=0",
    )
    recipe = {"recipe": "embedded/two-stage.yaml", "set": changes}
    suite = make_suite(
        a,
        b,
        tasks=["first_letter"],
        trainings={"c": recipe, "d": recipe},
        ablations={
            "model": "b",
            "tasks": ["first_letter"],
            "trained": ["c"],
            "trained_baseline": "d",
        },
    )
    groups = reproduce(suite, tmp_path)["ablations"]
    assert [g["name"] for g in groups] == ["training, infilled", "training, manual"]
    # Equal recipes give equal models.
    assert [row["difference"] for g in groups for row in g["rows"]] == [0, 0]


def test_optimizers_are_compared_at_their_budget(two_models, tmp_path):
    section = {"model": "b", "pairs": [["ape", "ape+infill"]], "tasks": ["first_letter"]}
    suite = make_suite(
        *two_models, tasks=["first_letter"], ablations=None, optimizers=section | {"budget": 8}
    )
    result = reproduce(suite, tmp_path)
    assert result["claims"][3]["verdict"] in VERDICTS - {"not tested"}
    cells = [json.loads(line)["value"] for line in (tmp_path / "work.jsonl").open()]
    spent = [c["metric_calls"] for c in cells if c["cell"] == "optimize"]
    assert len(spent) == 2
    assert max(spent) <= 8


def test_trainings_need_a_folder(two_models):
    trainings = {"c": {"recipe": "embedded/two-stage.yaml"}}
    suite = make_suite(*two_models, trainings=trainings, ablations=None)
    with pytest.raises(PromptInfillError, match="needs a run folder: give --out"):
        reproduce(suite)
