"""Instruction induction: on small files made here, and on the real data where it is."""

import json
import os
from pathlib import Path

import pytest

from promptinfill.errors import DataError, TaskError
from promptinfill.tasks import Splits, get_task, task_names, task_summaries
from promptinfill.templates import Template

VARIABLE = "PROMPTINFILL_DATA"
PREFIX = "instruction_induction/"


# --- small files ---


def plain(i):
    return {"task": "double", "input": f"word{i}", "output": f"word{i} word{i}"}


def pairs(i):
    return {"task": "cause_and_effect", "cause": f"Rain {i}.", "effect": f"Wet {i}."}


def concept(i):
    return {
        "task": "common_concept",
        "items": [f"a{i}", f"b{i}"],
        "concept": "are red.",
        "all_common_concepts": ["are red.", "are round."],
    }


MAKERS = {"double": plain, "cause_and_effect": pairs, "common_concept": concept}


@pytest.fixture
def data(tmp_path, monkeypatch):
    """A data folder with three small tasks; returns where their files are."""
    folder = tmp_path / "instruction_induction"
    folder.mkdir()
    notes = [{"task": t, "annotations": [f"Do {{{t}}}.", "Again."]} for t in MAKERS]
    write(folder / "annotations.jsonl", notes)
    write(folder / "induce.jsonl", [make(i) for make in MAKERS.values() for i in range(30)])
    write(folder / "execute.jsonl", [make(i) for make in MAKERS.values() for i in range(100, 112)])
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    return folder


def write(path, records):
    path.write_text("".join(json.dumps(record) + "\n" for record in records))


def test_rows_references_and_manual_prompts(data):
    task = get_task(PREFIX + "double", Splits(4, 4, 4))
    assert [len(p) for p in (task.examples, task.validation, task.test)] == [4, 4, 4]
    row = task.test[0]
    assert row["output"] == row["references"] == f"{row['input']} {row['input']}"
    manual = Template(task.manual[0], "output")
    assert manual.prompt(row) == f"Do {{double}}.\nInput: {row['input']}\nOutput: "
    assert len(task.manual) == 2
    assert task.description == "instruction induction: Do {{double}}."


def test_the_cause_is_the_answer_wherever_it_stands(data):
    task = get_task(PREFIX + "cause_and_effect", Splits(15, 15, 12))
    firsts = 0
    for row in [*task.examples, *task.validation, *task.test]:
        assert f"{row['output']}" in row["input"]
        assert row["output"].startswith("Rain")
        firsts += row["input"].startswith(f"Sentence 1: {row['output']}")
    assert 5 < firsts < 37  # the order tells nothing


def test_any_reference_counts(data):
    task = get_task(PREFIX + "common_concept")
    row = task.test[0]
    assert row["references"] == "are red.\nare round."
    assert task.metric("are round", row["references"]) == 1.0
    assert task.metric("are", row["references"]) == pytest.approx(2 / 3)


def test_an_input_of_the_test_set_is_never_an_example(data):
    clash = [plain(i) | {"output": "another answer"} for i in range(100, 112)]
    lines = (data / "induce.jsonl").read_text()
    (data / "induce.jsonl").write_text(lines + "".join(json.dumps(r) + "\n" for r in clash))
    task = get_task(PREFIX + "double", Splits(30, 30, 1))
    assert len(task.examples) + len(task.validation) == 30
    assert not {row["input"] for row in task.examples + task.validation} & {
        row["input"] for row in clash
    }


def test_the_files_are_read_once(data, monkeypatch):
    from promptinfill.tasks import instruction_induction

    opened = []
    original = instruction_induction.read_jsonl

    def reading(path):
        opened.append(path.name)
        return original(path)

    monkeypatch.setattr(instruction_induction, "read_jsonl", reading)
    task_summaries()
    assert opened == ["annotations.jsonl"]  # a list of tasks reads no rows
    for name in MAKERS:
        get_task(PREFIX + name)
    assert sorted(opened) == ["annotations.jsonl", "execute.jsonl", "induce.jsonl"]


@pytest.mark.parametrize(
    ("name", "line", "broken", "message"),
    [
        ("double", 3, {"task": "double", "input": "x"}, "needs text 'output'"),
        ("double", 3, {"task": "double", "input": 3, "output": "x"}, "needs text 'input'"),
        ("double", 3, {"task": "double", "input": "x", "output": " "}, "needs text 'output'"),
        ("double", 3, {"task": "double", "input": "x", "output": ["y"]}, "needs text 'output'"),
        ("cause_and_effect", 33, pairs(1) | {"effect": None}, "needs text 'effect'"),
        ("cause_and_effect", 33, {"task": "cause_and_effect", "cause": "x"}, "text 'effect'"),
        ("common_concept", 63, concept(1) | {"items": ["a", 2]}, "list of texts 'items'"),
        ("common_concept", 63, concept(1) | {"items": "a, b"}, "list of texts 'items'"),
        # a text would otherwise be taken for a list of letters, each of them a right answer
        (
            "common_concept",
            63,
            concept(1) | {"all_common_concepts": "['are red.']"},
            "list of texts 'all_common_concepts'",
        ),
        ("double", 3, {"input": "x", "output": "y"}, "needs the name of its 'task'"),
        ("double", 3, ["x"], "a record is a JSON object"),
    ],
)
def test_a_broken_row_is_named_by_file_and_line(data, name, line, broken, message):
    path = data / "induce.jsonl"
    lines = path.read_text().splitlines()
    lines[line - 1] = json.dumps(broken)
    path.write_text("\n".join(lines) + "\n")
    with pytest.raises(DataError, match=rf"induce\.jsonl:{line}: .*{message}"):
        get_task(PREFIX + name)


def test_other_broken_files(data):
    (data / "execute.jsonl").write_text('{"task": "double"\n')
    with pytest.raises(DataError, match=r"execute\.jsonl:1: not valid JSON"):
        get_task(PREFIX + "double")
    write(data / "execute.jsonl", [pairs(1)])
    with pytest.raises(DataError, match=r"execute\.jsonl: no rows of task 'double'"):
        get_task(PREFIX + "double")
    (data / "execute.jsonl").unlink()


def test_missing_file(data):
    (data / "induce.jsonl").unlink()
    with pytest.raises(DataError, match=r"cannot read .*induce\.jsonl"):
        get_task(PREFIX + "double")


@pytest.mark.parametrize(
    "broken", [{"task": "x"}, {"annotations": ["a"]}, {"task": "x", "annotations": "Do."}]
)
def test_broken_annotations(data, broken):
    write(data / "annotations.jsonl", [broken])
    with pytest.raises(DataError, match=r"annotations\.jsonl:1: needs 'task' and a list"):
        task_names()


def test_an_unknown_task_names_the_known_ones(data):
    known = "cause_and_effect, common_concept, double"
    with pytest.raises(TaskError, match=f"unknown task {PREFIX}treble; known: {known}"):
        get_task(PREFIX + "treble")


def test_missing_data_says_which_variable(tmp_path, monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    with pytest.raises(TaskError, match=f"set {VARIABLE} to a folder .*it is not set now"):
        get_task(PREFIX + "sum")
    monkeypatch.setenv(VARIABLE, str(tmp_path))
    with pytest.raises(TaskError, match=f"set {VARIABLE} .*it is {tmp_path} now"):
        get_task(PREFIX + "sum")
    assert not any(name.startswith(PREFIX) for name in task_names())


# --- the real data ---

ROOT = os.environ.get(VARIABLE)
real = pytest.mark.skipif(
    not ROOT or not (Path(ROOT) / "instruction_induction").is_dir(),
    reason=f"{VARIABLE} names no folder with instruction_induction/ in it",
)


@pytest.fixture(scope="module")
def real_tasks():
    names = [name for name in task_names() if name.startswith(PREFIX)]
    return {name.removeprefix(PREFIX): get_task(name) for name in names}


@real
def test_all_nineteen_tasks_open(real_tasks):
    assert len(real_tasks) == 19
    assert {"sum", "diff", "negation", "synonyms", "translation_en-de"} <= set(real_tasks)
    small = {"informal_to_formal", "common_concept", "cause_and_effect"}
    for name, task in real_tasks.items():
        sizes = [len(p) for p in (task.examples, task.validation, task.test)]
        assert sizes == [20, 24, 50] if name not in small else min(sizes) >= 6
        assert task.manual
        assert Template(task.template, task.response).holes


@real
def test_metrics_are_the_authors(real_tasks):
    found = {name: task.metric.__name__ for name, task in real_tasks.items()}
    assert {name: metric for name, metric in found.items() if metric != "exact_match"} == {
        "common_concept": "f1",
        "informal_to_formal": "f1",
        "orthography_starts_with": "set_match",
        "taxonomy_animal": "set_match",
        "synonyms": "contains",
    }


@real
def test_gold_answers_score_one_under_the_tasks_own_metric(real_tasks):
    for name, task in real_tasks.items():
        for row in [*task.examples, *task.validation, *task.test]:
            assert task.metric(row["output"], row["references"]) == 1.0, (name, row)
            assert task.metric("", row["references"]) == 0.0, (name, row)


@real
def test_no_input_is_in_two_splits(real_tasks):
    """On the whole files: all demonstrations against all test items."""
    everything = Splits(100_000, 100_000, 100_000)
    for name in real_tasks:
        task = get_task(PREFIX + name, everything)
        shown, validated, tested = (
            {row["input"] for row in part} for part in (task.examples, task.validation, task.test)
        )
        assert shown, name
        assert not shown & validated, name
        assert not (shown | validated) & tested, name


@real
def test_manual_prompts_render_with_real_rows(real_tasks):
    for task in real_tasks.values():
        for source in task.manual:
            prompt = Template(source, task.response).prompt(task.test[0])
            assert prompt.endswith(f"\nInput: {task.test[0]['input']}\nOutput: ")


@real
def test_some_real_rows(real_tasks):
    for row in real_tasks["sum"].test:
        assert sum(map(int, row["input"].split())) == int(row["output"])
    for row in real_tasks["first_word_letter"].test:
        assert row["output"] == row["input"][0]
    row = real_tasks["translation_en-de"].test[0]
    assert row["output"] in row["references"].split("\n")
    assert min(map(len, row["references"].split("\n"))) > 1  # words, not letters


@real
def test_another_seed_draws_other_rows():
    one, two = (get_task(PREFIX + "sum", Splits(seed=seed)) for seed in (0, 1))
    assert one.examples != two.examples
    assert one.test != two.test
