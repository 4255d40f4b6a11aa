import json
from pathlib import Path

import pytest

from promptinfill.tasks import get_task, task_names

from .conftest import Cli


@pytest.fixture
def data(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder = tmp_path / "instruction_induction"
    folder.mkdir()

    def write(name: str, records: list[dict[str, object]]) -> None:
        text = "".join(json.dumps(record) + "\n" for record in records)
        (folder / name).write_text(text)

    rows = [{"task": "sum", "input": f"{i} 1", "output": str(i + 1)} for i in range(60)]
    write("annotations.jsonl", [{"task": "sum", "annotations": ["Add {them}", "Sum up"]}])
    write("induce.jsonl", list(rows[:50]))
    write("execute.jsonl", list(rows[50:]))
    monkeypatch.setenv("PROMPTINFILL_DATA", str(tmp_path))


def test_list_names_every_task(cli: Cli, data: None) -> None:
    found = cli("tasks", "list", "--json").json["tasks"]
    assert [task["name"] for task in found] == task_names()
    assert "instruction_induction/sum" in {task["name"] for task in found}
    assert all(task["description"] for task in found)
    text = cli("tasks", "list").out
    assert all(name in text for name in task_names())


def test_show_json(cli: Cli, data: None) -> None:
    found = cli("tasks", "show", "instruction_induction/sum", "--json").json
    task = get_task("instruction_induction/sum")
    assert found["splits"] == {"examples": 20, "validation": 24, "test": 10}
    assert found["manual"] == list(task.manual)
    assert found["metric"] == "exact_match"
    assert found["row"] == task.examples[0]
    assert found["rendered"] == f"Add {{them}}\nInput: {task.examples[0]['input']}\nOutput: "


@pytest.mark.parametrize("verb", ["show", "preview"])
def test_show_for_people(cli: Cli, verb: str) -> None:
    text = cli("tasks", verb, "first_letter").out
    task = get_task("first_letter")
    row = task.examples[0]
    assert "[MASK:12]" in text
    assert f"Output: {row['output']}" in text
    for manual in task.manual[:3]:
        assert manual.partition("\n")[0] in text
    assert "20 examples, 24 validation, 50 test" in text


def test_seed_draws_other_rows(cli: Cli) -> None:
    rows = [cli("tasks", "show", "sum", "--json", "--seed", s).json["row"] for s in (0, 0, 1)]
    assert rows[0] == rows[1]
    assert rows[0] != rows[2]
