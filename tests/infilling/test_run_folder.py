"""Run folders: finished work is kept, a killed run ends with the same files, no mixing of runs."""

import json
import shutil
import signal
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
from killed_run import job
from scenario import Scripted

from promptinfill.errors import DataError, PromptInfillError
from promptinfill.infilling.result import Result
from promptinfill.infilling.run import Run
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.targets.diffusion import DiffusionTarget
from promptinfill.tasks.metrics import contains, exact_match

SAME = ("result.json", "prompt.txt", "settings.json", "work.jsonl")
STOPS = (1, 2, 4, 7)


@pytest.fixture(scope="module")
def model(dlm_folder):
    return MaskedDiffusionLM.from_pretrained(dlm_folder, device="cpu")


@pytest.fixture(scope="module")
def whole(model, tmp_path_factory):
    """A run that nobody disturbed."""
    folder = tmp_path_factory.mktemp("whole") / "run"
    job(model, folder)
    return folder


@pytest.fixture(scope="module")
def killed(dlm_folder, whole, tmp_path_factory):
    """Folders of runs in other processes that killed themselves after n units, by n."""
    units = len((whole / "work.jsonl").read_text().splitlines())
    stops = (*STOPS, units - 1, units)
    root = tmp_path_factory.mktemp("killed")
    script = Path(__file__).with_name("killed_run.py")
    command = [sys.executable, str(script), str(dlm_folder), str(root), *map(str, stops)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout) == [-signal.SIGKILL] * len(stops)
    return {n: root / str(n) for n in stops}


def continue_and_compare(model, folder, whole, finished):
    target = Scripted()
    job(model, folder, target=target)
    for name in SAME:
        assert (folder / name).read_bytes() == (whole / name).read_bytes(), name
    lines = (whole / "work.jsonl").read_text().splitlines()
    answered = [json.loads(line)["value"].get("answers") for line in lines]
    # What was finished is not done again.
    assert target.calls == sum(answers is not None for answers in answered[finished:])


def test_a_run_killed_after_any_unit_ends_the_same(model, whole, killed, tmp_path):
    lines = (whole / "work.jsonl").read_bytes().splitlines(keepends=True)
    for n, folder in killed.items():
        assert (folder / "work.jsonl").read_bytes() == b"".join(lines[:n])
        assert not (folder / "result.json").exists()
        copy = shutil.copytree(folder, tmp_path / str(n))
        continue_and_compare(model, copy, whole, finished=n)


@pytest.mark.parametrize("cut", [1, 30, -1])
def test_a_half_written_last_line_is_done_again(model, whole, killed, tmp_path, cut):
    lines = (whole / "work.jsonl").read_bytes().splitlines(keepends=True)
    for n in STOPS:
        copy = shutil.copytree(killed[n], tmp_path / str(n))
        with (copy / "work.jsonl").open("ab") as file:
            file.write(lines[n][:cut])
        continue_and_compare(model, copy, whole, finished=n)


def test_a_kill_before_the_first_unit_or_while_the_result_is_written(model, whole, tmp_path):
    early = tmp_path / "early"
    early.mkdir()
    (early / "settings.json.partial").write_text('{"promptinf')
    continue_and_compare(model, early, whole, finished=0)
    late = shutil.copytree(whole, tmp_path / "late")
    for name in ("prompt.txt", "timing.json"):
        (late / name).unlink()
    (late / "prompt.txt.partial").write_text("wri")
    finished = len((whole / "work.jsonl").read_text().splitlines())
    continue_and_compare(model, late, whole, finished=finished)
    assert Result.load(late).prompt == Result.load(whole).prompt


@pytest.mark.parametrize(
    ("changes", "differs"),
    [
        ({"seed": 8}, "seed"),
        ({"candidates": 5}, "candidates"),
        ({"metric": contains}, "metric"),
        ({"manual": None}, "manual"),
        ({"max_answer_tokens": 9, "seed": 8}, "max_answer_tokens, seed"),
        ({"target": Scripted(batch_size=3)}, "target_settings"),
    ],
)
def test_other_settings_in_the_same_folder_are_refused_by_name(
    model, whole, tmp_path, changes, differs
):
    copy = shutil.copytree(whole, tmp_path / "run")
    with pytest.raises(PromptInfillError, match=rf"other settings \({differs} differ\)"):
        job(model, copy, **changes)
    for name in SAME:
        assert (copy / name).read_bytes() == (whole / name).read_bytes()


def test_other_decoding_of_the_target_is_refused(model, tmp_path):
    small = {"candidates": 1, "test": (), "manual": None}
    job(model, tmp_path, target=model, **small)
    job(model, tmp_path, target=DiffusionTarget(model), **small)  # the same in other words
    with pytest.raises(PromptInfillError, match=r"\(target_settings differ\)"):
        job(model, tmp_path, target=DiffusionTarget(model, seed=5), **small)


def test_a_metric_without_a_name_resumes_in_another_process(model, whole, tmp_path):
    """A repr would put the function's address into the settings."""
    job(model, tmp_path, metric=partial(exact_match))
    settings = json.loads((tmp_path / "settings.json").read_text())
    assert settings["metric"] == "partial"


# --- Run on its own ---


def test_a_unit_is_computed_once_and_seen_through_json(tmp_path):
    calls = []

    def compute():
        calls.append(1)
        return {"pair": (1, 2.5)}

    run = Run(tmp_path, {"a": (1, 2)})
    assert run.settings == {"a": [1, 2]}
    assert run.unit("x", compute) == {"pair": [1, 2.5]}
    assert run.unit("x", compute) == {"pair": [1, 2.5]}
    assert Run(tmp_path, {"a": [1, 2]}).unit("x", compute) == {"pair": [1, 2.5]}
    assert len(calls) == 1


def test_a_unit_that_fails_leaves_nothing(tmp_path):
    run = Run(tmp_path, {})
    with pytest.raises(ZeroDivisionError):
        run.unit("x", lambda: 1 / 0)
    assert run.unit("x", lambda: "ä\u2028\r") == "ä\u2028\r"
    assert Run(tmp_path, {}).units == {"x": "ä\u2028\r"}


def test_without_a_folder_nothing_is_written(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert Run(None, {"a": 1}).unit("x", lambda: 1) == 1
    assert list(tmp_path.iterdir()) == []


def test_a_broken_line_in_the_middle_is_an_error_with_its_place(tmp_path):
    run = Run(tmp_path, {})
    for name in "abc":
        run.unit(name, lambda: 1)
    log = tmp_path / "work.jsonl"
    log.write_text(log.read_text().replace('{"unit": "b"', '{"un'))
    with pytest.raises(DataError, match=r"work\.jsonl:2: not a finished unit"):
        Run(tmp_path, {})


# --- results that cannot be read ---


def test_a_missing_or_broken_result_is_an_error_with_its_place(whole, tmp_path):
    with pytest.raises(DataError, match=r"cannot read .*result\.json"):
        Result.load(tmp_path)
    copy = shutil.copytree(whole, tmp_path / "copy")
    (copy / "timing.json").write_text("{\n")
    with pytest.raises(DataError, match=r"timing\.json:2: not valid JSON"):
        Result.load(copy)
    (copy / "timing.json").unlink()
    with pytest.raises(DataError, match=r"cannot read .*timing\.json"):
        Result.load(copy)
    shutil.copy(whole / "timing.json", copy)
    for content in ("[]", '{"candidates": []}', '{"candidates": [{"score": 1}]}'):
        (copy / "result.json").write_text(content)
        with pytest.raises(DataError, match=r"result\.json: not the result of a run"):
            Result.load(copy)
