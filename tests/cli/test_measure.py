"""reproduce, audit, transfer and report on the command line."""

import json

import pytest
import yaml

SUITE = {
    "roles": {"main": "m"},
    "tasks": ["first_letter"],
    "rows": {"examples": 3, "validation": 2, "test": 3},
    "candidates": 2,
    "wordings": 1,
    "infill": {"examples": 2},
}


@pytest.fixture
def suite(tiny, tmp_path):
    path = tmp_path / "suite.yaml"
    path.write_text(yaml.safe_dump(SUITE | {"models": {"m": tiny}}))
    return path


def test_reproduce_keeps_its_contract_and_is_reported(cli, suite, tmp_path):
    run = tmp_path / "run"
    found = cli("reproduce", "--config", suite, "--out", run, "--json").json
    assert isinstance(found["seconds"], float)
    assert [
        set(c) >= {"id", "statement", "figure", "low", "high", "verdict"} for c in found["claims"]
    ]
    assert [c["id"] for c in found["claims"]] == [1, 2, 3, 4, 5]
    shown = cli("reproduce", "--config", suite, "--out", run)
    assert shown.code == 0
    assert "not tested" in shown.out
    pages = cli("report", run, "--json").json
    assert pages["html"].endswith("report.html")
    assert (run / "report.md").is_file()


def test_reproduce_says_what_is_wrong(cli, suite, tmp_path):
    assert cli("reproduce", "--config", suite, "--preset", "quick").sentence.endswith("not both")
    assert "unknown preset 'slow'" in cli("reproduce", "--preset", "slow").sentence
    assert "cannot read suite" in cli("reproduce", "--config", tmp_path / "no.yaml").sentence
    wrong = cli("report", tmp_path)
    assert wrong.code == 2
    assert "no run" in wrong.sentence


def test_audit_keeps_its_contract(cli, tiny, mute):
    small = ("--tasks", "first_letter", "--texts", 8, "--candidates", 1, "--test", 2)
    found = cli("audit", "--before", tiny, "--after", mute, *small, "--json").json
    keys = {"measure", "before", "after", "difference", "low", "high"}
    assert found["rows"]
    assert all(set(row) >= keys for row in found["rows"])
    assert json.dumps(found)
    assert "named twice" in cli("audit", "--before", tiny, "--after", tiny).sentence
    assert "need a checkpoint" in cli("audit", "--before", tiny, "--after", ",").sentence


def test_transfer_shows_a_matrix(cli, tiny, mute, tmp_path):
    small = ("--tasks", "first_letter", "--candidates", 1, "--test", 2, "--out", tmp_path / "run")
    found = cli("transfer", "--model", tiny, "--target", mute, *small, "--json").json
    assert [(c["source"], c["target"]) for c in found["cells"]] == [(tiny, tiny), (tiny, mute)]
    assert cli("report", tmp_path / "run").code == 0
    assert "two different models" in cli("transfer", "--model", tiny).sentence
