"""Instruction induction (Honovich et al. 2022, arXiv 2205.10782): one file of real small tasks.

    task: sum      input: "0 47"      output: "47"
    human instruction: "Write the sum of the two numbers"

Demonstrations (``induce``) give examples and validation rows; ``execute`` items are the test set;
the human-written instructions are the manual prompts. Read from the folder
``$PROMPTINFILL_DATA/instruction_induction``.
"""

import functools
import os
import random
from pathlib import Path
from typing import Any

from promptinfill.data.records import read_jsonl
from promptinfill.errors import DataError, TaskError
from promptinfill.tasks import Row, Splits, Summary, Task, split_rows
from promptinfill.tasks.metrics import best_of, contains, exact_match, f1, set_match
from promptinfill.templates import escape

DATA_VARIABLE = "PROMPTINFILL_DATA"
FOLDER = "instruction_induction"
_BLOCK = "\nInput: {input}\nOutput: {output}"

# The authors' metrics (the same as APE's): exact match unless named here.
_METRICS = {
    "common_concept": f1,
    "informal_to_formal": f1,
    "orthography_starts_with": set_match,
    "taxonomy_animal": set_match,
    "synonyms": contains,
}
_REFERENCE_KEYS = (
    "possible_translations",
    "possible_outputs",
    "all_common_concepts",
    "other_rhymes",
)


def summaries() -> list[Summary]:
    """Tasks found in the data folder; empty when there is none."""
    folder = _folder()
    found = _annotations(folder) if folder else {}
    return [_summary(name, found[name]) for name in sorted(found)]


def _summary(name: str, instructions: list[str]) -> Summary:
    return Summary(f"{FOLDER}/{name}", f"instruction induction: {instructions[0]}")


def load(name: str, splits: Splits) -> Task:
    """Open one task; TaskError when it or the data folder is missing."""
    folder = _folder()
    if folder is None:
        raise TaskError(
            f"{FOLDER}/{name} needs its data: set {DATA_VARIABLE} to a folder that holds {FOLDER}/ "
            "(annotations.jsonl, induce.jsonl, execute.jsonl); "
            f"it is {os.environ.get(DATA_VARIABLE) or 'not set'} now"
        )
    annotations = _annotations(folder)
    if name not in annotations:
        raise TaskError(f"unknown task {FOLDER}/{name}; known: {', '.join(sorted(annotations))}")
    induce = _rows(folder / "induce.jsonl", name, splits.seed)
    execute = _rows(folder / "execute.jsonl", name, splits.seed)
    examples, validation, test = split_rows(induce, splits, response="output", test=execute)
    about = _summary(name, annotations[name])
    return Task(
        name=about.name,
        description=about.description,
        template="[MASK:12]" + _BLOCK,
        response="output",
        manual=tuple(text.strip() + _BLOCK for text in annotations[name]),
        examples=examples,
        validation=validation,
        test=test,
        metric=best_of(_METRICS.get(name, exact_match)),
    )


def _folder() -> Path | None:
    root = os.environ.get(DATA_VARIABLE)
    folder = Path(root) / FOLDER if root else None
    return folder if folder and folder.is_dir() else None


@functools.cache
def _annotations(folder: Path) -> dict[str, list[str]]:
    found: dict[str, list[str]] = {}
    for where, record in read_jsonl(folder / "annotations.jsonl"):
        try:
            found[record["task"]] = [escape(text) for text in _texts(record, "annotations")]
        except (KeyError, TypeError, ValueError):
            raise DataError(f"{where}: needs 'task' and a list of texts 'annotations'") from None
    return found


@functools.cache
def _records(path: Path) -> dict[str, list[tuple[str, dict[str, Any]]]]:
    """The records of each task, with their "file:line"; all tasks share a file, read once."""
    found: dict[str, list[tuple[str, dict[str, Any]]]] = {}
    for where, record in read_jsonl(path):
        if not isinstance(record.get("task"), str):
            raise DataError(f"{where}: needs the name of its 'task'")
        found.setdefault(record["task"], []).append((where, record))
    return found


def _rows(path: Path, task: str, seed: int) -> list[Row]:
    rng = random.Random(seed)
    records = _records(path).get(task)
    if not records:
        raise DataError(f"{path}: no rows of task {task!r}")
    return [_row(where, record, rng) for where, record in records]


def _row(where: str, record: dict[str, Any], rng: random.Random) -> Row:
    try:
        if "cause" in record:
            pair = [_text(record, "cause"), _text(record, "effect")]
            rng.shuffle(pair)
            text, output = f"Sentence 1: {pair[0]} Sentence 2: {pair[1]}", record["cause"]
        elif "items" in record:
            text, output = ", ".join(_texts(record, "items")), _text(record, "concept")
        else:
            text, output = _text(record, "input"), _text(record, "output")
        references = [output]
        for key in _REFERENCE_KEYS:
            if key in record:
                references += [r for r in _texts(record, key) if r not in references]
    except ValueError as error:
        raise DataError(f"{where}: {error}") from None
    return {"input": text, "output": output, "references": "\n".join(references)}


def _text(record: dict[str, Any], key: str) -> str:
    value = record.get(key)
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"needs text {key!r}")
    return value


def _texts(record: dict[str, Any], key: str) -> list[str]:
    value = record.get(key)
    if not isinstance(value, list) or not value or not all(isinstance(v, str) for v in value):
        raise ValueError(f"needs a list of texts {key!r}")
    return value
