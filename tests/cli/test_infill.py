import json
from pathlib import Path

import pytest

from promptinfill import MaskedDiffusionLM, Template, infill
from promptinfill.cli.infill import Conditioning
from promptinfill.cli.inputs import PRESETS, Budget, job_from_files
from promptinfill.infilling.candidates import InfillOptions
from promptinfill.tasks import Splits, get_task

from .conftest import MANUAL, TEMPLATE, Cli

INTERVAL = {"score", "low", "high", "n"}


def test_budgets() -> None:
    quick, full = PRESETS[Budget.quick], PRESETS[Budget.full]
    assert (quick.candidates, quick.validation, quick.test) == (32, 24, 50)
    assert (full.candidates, full.validation, full.test) == (64, 64, 100)


def test_the_default_conditioning_is_the_librarys() -> None:
    assert InfillOptions().conditioning == Conditioning.tied.value


def test_task_json_is_what_the_library_gives(cli: Cli, tiny: str) -> None:
    found = cli("infill", "--task", "first_letter", "--model", tiny, "--seed", 3, "--json").json
    task = get_task("first_letter", Splits(20, 24, 50, 3))
    expected = infill(
        Template(task.template, task.response),
        task.examples,
        dlm=MaskedDiffusionLM.from_pretrained(tiny),
        validation=task.validation,
        metric=task.metric,
        candidates=32,
        seed=3,
        test=task.test,
        manual=task.manual[0],
    ).to_json()
    expected = json.loads(json.dumps(expected))  # tuples to lists
    assert found.pop("task") == "first_letter"
    found["cost"].pop("seconds")
    expected["cost"].pop("seconds")
    assert found == expected
    assert set(found["test"]) == set(found["manual"]) == INTERVAL
    assert found["test"]["n"] == 50
    assert set(found["cost"]) == {"model_calls", "tokens"}


def test_own_files(cli: Cli, tiny: str, rows: str, tmp_path: Path) -> None:
    template = tmp_path / "template.txt"
    template.write_text(TEMPLATE + "\n")  # an editor's last line break is not part of it
    manual = tmp_path / "manual.txt"
    manual.write_text(MANUAL + "\n")
    given = ("--template", template, "--examples", rows, "--model", tiny, "--json")
    found = cli("infill", *given).json
    assert found["manual"] is None
    assert found["prompt"].endswith("\nInput: {input}\nOutput: {output}")
    assert found["settings"]["metric"] == "exact_match"
    assert found["settings"]["response"] == "output"
    assert cli("infill", *given, "--manual", manual).json["manual"]["n"] == found["test"]["n"]
    text = TEMPLATE.replace("\n", "\\n")  # as typed in a shell
    same = cli("infill", "--template", text, *given[2:]).json
    assert same["prompt"] == found["prompt"]
    assert same["settings"] == found["settings"]


def test_options_reach_the_run(cli: Cli, tiny: str, mute: str, rows: str) -> None:
    settings = cli(
        *("infill", "--template", TEMPLATE, "--examples", rows, "--model", tiny, "--json"),
        *("--target", mute, "--metric", "contains", "--candidates", 5, "--seed", 9),
        *("--conditioning", "concat"),
    ).json["settings"]
    assert settings["target"] == mute
    assert settings["model"] == tiny
    assert settings["metric"] == "contains"
    assert settings["candidates"] == 5
    assert settings["seed"] == 9
    assert settings["options"]["conditioning"] == "concat"


def test_people_see_candidates_prompt_and_scores(
    cli: Cli, tiny: str, rows: str, tmp_path: Path
) -> None:
    out = tmp_path / "run"
    given = ("--template", TEMPLATE, "--examples", rows, "--manual", MANUAL, "--model", tiny)
    ran = cli("infill", *given, "--out", out)
    assert ran.code == 0
    assert ran.err == ""  # progress is for terminals
    prompt = (out / "prompt.txt").read_text()
    assert prompt.partition("\n")[0] in ran.out
    for text in ("Best candidates", "Chosen prompt", "{input}", "infilled", "manual", "95 %"):
        assert text in ran.out
    assert "model calls" in ran.out
    assert str(out) in ran.out.replace("\n", "")


def test_no_usable_candidate(cli: Cli, mute: str, rows: str) -> None:
    ran = cli("infill", "--template", TEMPLATE, "--examples", rows, "--model", mute, "--json")
    assert ran.code == 2
    assert "none of 32 candidates was usable" in ran.sentence


def test_a_folder_of_other_settings(cli: Cli, tiny: str, rows: str, tmp_path: Path) -> None:
    given = ("infill", "--template", TEMPLATE, "--examples", rows, "--model", tiny, "--json")
    first = cli(*given, "--out", tmp_path / "run").json
    again = cli(*given, "--out", tmp_path / "run").json
    assert again["prompt"] == first["prompt"]
    assert again["candidates"] == first["candidates"]
    ran = cli(*given, "--out", tmp_path / "run", "--seed", 5)
    assert ran.code == 2
    assert "other settings" in ran.sentence


def test_out_is_a_file(cli: Cli, tiny: str, rows: str) -> None:
    given = ("infill", "--template", TEMPLATE, "--examples", rows, "--model", tiny)
    ran = cli(*given, "--out", rows)
    assert ran.code == 2
    assert "choose another --out" in ran.sentence


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("no_such_file.txt", "neither a file"),
        ("[MASK:0] {output}", "template:1:1"),
        ("[MASK:3] {input} then", "must end with the field"),
        ("[[MASK:3]] {input}", "no hole"),
    ],
)
def test_bad_templates(cli: Cli, rows: str, template: str, says: str) -> None:
    ran = cli("infill", "--template", template, "--examples", rows)
    assert ran.code == 2
    assert says in ran.sentence


def test_bad_rows_are_named(cli: Cli, tmp_path: Path) -> None:
    path = tmp_path / "bad.jsonl"
    path.write_text(json.dumps({"input": "a", "output": "b"}) + "\n" + '{"input": "a"}\n')
    ran = cli("infill", "--template", TEMPLATE, "--examples", path)
    assert ran.code == 2
    assert f"{path}:2: field 'output'" in ran.sentence


def test_manual_with_a_hole(cli: Cli, rows: str) -> None:
    ran = cli("infill", "--template", TEMPLATE, "--examples", rows, "--manual", TEMPLATE)
    assert ran.code == 2
    assert "manual prompt has a hole" in ran.sentence


def test_seed_decides_the_split(rows: str) -> None:
    template = Template(TEMPLATE, "output")
    jobs = [job_from_files(template, Path(rows), Splits(5, 5, 5, seed)) for seed in (0, 0, 1)]
    assert jobs[0].test == jobs[1].test
    assert jobs[0].test != jobs[2].test
