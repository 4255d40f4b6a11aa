"""``promptinfill refine`` as a user meets it."""

import json

import pytest

from promptinfill.templates import Template

from .conftest import MANUAL, Cli


def test_own_prompt_and_traces(cli: Cli, tiny: str, rows: str) -> None:
    given = ("--prompt", MANUAL.replace("\n", "\\n"), "--examples", rows, "--model", tiny)
    found = cli("refine", *given, "--feedback", "Too long.", "--budget", 60, "--json").json
    assert found["start"] == MANUAL
    assert found["metric_calls"] <= 60
    assert set(found["test"]) == {"score", "low", "high", "n"}
    assert Template(found["prompt"], "output").fields == ("input", "output")
    assert "Feedback" not in found["prompt"]
    again = cli("refine", *given, "--feedback", "Too long.", "--budget", 60, "--json").json
    found.pop("seconds")
    again.pop("seconds")
    assert again == found


def test_a_task_starts_from_its_manual_prompt(cli: Cli, tiny: str) -> None:
    ran = cli("refine", "--task", "first_letter", "--model", tiny, "--budget", 24)
    assert ran.code == 0
    assert "Nothing beat it" in ran.out
    assert "24 metric calls" in ran.out


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        ([], "say what to refine on"),
        (["--examples", "ROWS"], "--examples needs --prompt"),
        (["--prompt", "no field", "--examples", "ROWS"], "neither a file nor such a text"),
        (["--prompt", "{output} first", "--examples", "ROWS"], "must end with the field"),
        (["--prompt", "{input} {output}", "--examples", "ROWS"], "there is nothing to refine"),
        (["--prompt", "A [MASK]\\n{input} {output}", "--examples", "ROWS"], "has a hole already"),
        (["--task", "plural", "--budget", "3"], "budget of 3 metric calls cannot validate"),
        (["--task", "plural", "--share", "0"], "share is 0.0"),
    ],
)
def test_wrong_use(cli: Cli, tiny: str, rows: str, arguments: list[str], sentence: str) -> None:
    given = [rows if a == "ROWS" else a for a in arguments]
    ran = cli("refine", *given, "--model", tiny)
    assert ran.code == 2
    assert sentence in ran.sentence


def test_rows_of_the_file_are_shared_out(cli: Cli, tiny: str, rows: str) -> None:
    with open(rows, encoding="utf-8") as file:
        count = len([json.loads(line) for line in file])
    found = cli("refine", "--prompt", MANUAL, "--examples", rows, "--model", tiny, "--json").json
    assert 0 < found["test"]["n"] < count
