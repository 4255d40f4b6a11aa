import json
from pathlib import Path
from typing import Any

import pytest

from promptinfill import MaskedDiffusionLM
from promptinfill.cli import demo
from promptinfill.infilling import infill as infilling
from promptinfill.microtasks import CATALOGUE

from .conftest import WORDS, Cli, save_tiny

TASKS = ("first_letter", "sum")
COLUMNS = ("manual", "response_only", "full_sequence", "two_stage", "best")


@pytest.fixture
def embedded(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mute: str) -> dict[str, str]:
    """Three models: response-only is mute, and best is two-stage."""
    folders = {
        "response-only": mute,
        "full-sequence": str(save_tiny(tmp_path / "full", 2, WORDS)),
        "two-stage": str(save_tiny(tmp_path / "two", 3, [*WORDS, *"abcdefghijklmnopqrst"])),
    }
    names = folders | {"best": folders["two-stage"]}
    (tmp_path / "names.json").write_text(json.dumps(names))
    monkeypatch.setattr("promptinfill.models.embedded._FOLDER", tmp_path)
    monkeypatch.setattr(demo, "TASKS", TASKS)
    monkeypatch.setattr(demo, "CANDIDATES", 4)
    monkeypatch.setattr(demo, "TEST", 8)
    return names


def test_the_tasks_exist() -> None:
    assert len(set(demo.TASKS)) == 5
    assert set(demo.TASKS) <= set(CATALOGUE)


def test_json(cli: Cli, embedded: dict[str, str]) -> None:
    found = cli("demo", "--json").json
    assert [row["task"] for row in found["rows"]] == list(TASKS)
    assert set(found["mean"]) == set(COLUMNS)
    assert found["best_recipe"] == "two-stage"
    assert found["seconds"] > 0
    for row in found["rows"]:
        assert all(0 <= row[name] <= 1 for name in COLUMNS)
        assert row["response_only"] == 0  # mute: no prompt at all, which is no error
        assert row["prompts"]["response_only"] is None
        assert row["tokens"]["response_only"] is None
        assert row["best"] == row["two_stage"]
        assert row["prompts"]["best"] == row["prompts"]["two_stage"]
        assert "[MASK" not in row["prompts"]["full_sequence"]
        assert row["tokens"]["manual"] > 0
    for name in COLUMNS:
        assert found["mean"][name] == pytest.approx(
            sum(row[name] for row in found["rows"]) / len(TASKS)
        )
    again = cli("demo", "--json").json
    assert again["rows"] == found["rows"]


def test_each_prompt_is_found_and_tested_on_its_own_model(
    cli: Cli, embedded: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    opened: list[str] = []
    runs: list[tuple[str, bool, int]] = []
    real_open, real_infill = MaskedDiffusionLM.from_pretrained, infilling.infill

    def from_pretrained(name: str, **kwargs: Any) -> MaskedDiffusionLM:
        opened.append(name)
        return real_open(name, **kwargs)

    def infill(*args: Any, **kwargs: Any) -> Any:
        assert "target" not in kwargs  # so that the model answers its own prompts
        runs.append((kwargs["dlm"].name, kwargs["manual"] is not None, len(kwargs["test"])))
        return real_infill(*args, **kwargs)

    monkeypatch.setattr(MaskedDiffusionLM, "from_pretrained", from_pretrained)
    monkeypatch.setattr(infilling, "infill", infill)
    found = cli("demo", "--json").json
    # best shares two-stage's folder: opened once, run once a task.
    assert len(opened) == 3
    assert len(runs) == 3 * len(TASKS)
    best = [name for name, manual, _ in runs if manual]
    assert len(best) == len(TASKS)
    assert set(best) <= {"embedded:best", "embedded:two-stage"}
    assert {n for _, _, n in runs} == {8}
    assert found["best_recipe"] == "two-stage"


def test_best_of_its_own(cli: Cli, embedded: dict[str, str], tmp_path: Path) -> None:
    names = embedded | {"mixture": embedded["full-sequence"] + "/"}
    names["best"] = names["mixture"]
    (tmp_path / "names.json").write_text(json.dumps(names))
    assert cli("demo", "--json").json["best_recipe"] == "mixture"


def test_manual_is_scored_even_where_nothing_was_infilled(
    cli: Cli, embedded: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    names = embedded | {"best": embedded["response-only"]}
    (tmp_path / "names.json").write_text(json.dumps(names))
    seen: list[str | None] = []
    real = demo._manual_only

    def manual_only(dlm: Any, task: Any, manual: str | None) -> float:
        seen.append(manual)
        real(dlm, task, manual)
        return 0.25

    monkeypatch.setattr(demo, "_manual_only", manual_only)
    found = cli("demo", "--json").json
    assert [row["manual"] for row in found["rows"]] == [0.25, 0.25]
    assert [row["best"] for row in found["rows"]] == [0.0, 0.0]
    assert all(seen)


def test_people_see_the_whole_story(cli: Cli, embedded: dict[str, str]) -> None:
    ran = cli("demo")
    assert ran.code == 0
    assert ran.err == ""
    for text in (
        *("[MASK:12]", "Solved examples", "→", "denoised step by step", "░░ ░░"),
        *("Candidates, best of", "validation", "Chosen prompt, by training recipe"),
        *("Accuracy on test items", "mean", "response-only", "full-sequence", "two-stage"),
    ):
        assert text in ran.out
    assert all(ran.out.count(name) >= 2 for name in TASKS)
    assert "\x1b" not in ran.out  # no colours off a terminal


def test_report_takes_each_number_from_its_place() -> None:
    rows = []
    for i, task in enumerate(TASKS):
        row = demo.Row(task, manual=0.5 + i / 4, manual_prompt="m", manual_tokens=9)
        for j, recipe in enumerate(demo.RECIPES):
            row.outcomes[recipe] = demo.Outcome(None, (i + j) / 8, 20 + j)
        rows.append(row)
    found = demo.report(rows, "two-stage", 1.5)
    assert [row["manual"] for row in found["rows"]] == [0.5, 0.75]
    assert [found["rows"][1][name] for name in COLUMNS[1:]] == [1 / 8, 2 / 8, 3 / 8, 4 / 8]
    assert found["rows"][0]["tokens"]["best"] == 23
    assert list(found["mean"].values()) == [0.625, 1 / 16, 3 / 16, 5 / 16, 7 / 16]
    assert (found["best_recipe"], found["seconds"]) == ("two-stage", 1.5)
