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
from promptinfill.tasks import Row, Splits, Task, split_rows
from promptinfill.tasks.metrics import best_of, contains, exact_match, f1, set_match

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


def names() -> list[str]:
    """Tasks found in the data folder; empty when there is none."""
    folder = _folder()
    return sorted(_annotations(folder)) if folder else []


def load(name: str, splits: Splits) -> Task:
    """Open one task; TaskError when it or the data folder is missing."""
    folder = _folder()
    if folder is None:
        raise TaskError(
            f"{FOLDER}/{name} needs its data: set {DATA_VARIABLE} to a folder that holds {FOLDER}/ "
            "(annotations.jsonl, induce.jsonl, execute.jsonl)"
        )
    annotations = _annotations(folder)
    if name not in annotations:
        raise TaskError(f"unknown task {FOLDER}/{name}; known: {', '.join(sorted(annotations))}")
    induce = _rows(folder / "induce.jsonl", name, splits.seed)
    execute = _rows(folder / "execute.jsonl", name, splits.seed)
    examples, validation, test = split_rows(induce, splits, test=execute)
    if not validation:  # a few tasks have under 20 demonstrations: share them out
        half = len(examples) // 2
        examples, validation = examples[:half], examples[half:]
    return Task(
        name=f"{FOLDER}/{name}",
        description=f"instruction induction: {annotations[name][0]}",
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
            found[record["task"]] = [_escape(text) for text in record["annotations"]]
        except (KeyError, TypeError):
            raise DataError(f"{where}: needs 'task' and a list 'annotations'") from None
    return found


def _escape(text: str) -> str:
    from promptinfill.templates import escape

    return escape(text)


def _rows(path: Path, task: str, seed: int) -> list[Row]:
    rng = random.Random(seed)
    return [_row(where, r, rng) for where, r in read_jsonl(path) if r.get("task") == task]


def _row(where: str, record: dict[str, Any], rng: random.Random) -> Row:
    if "cause" in record:
        pair = [record["cause"], record["effect"]]
        rng.shuffle(pair)
        text, output = f"Sentence 1: {pair[0]} Sentence 2: {pair[1]}", record["cause"]
    elif "items" in record:
        text, output = ", ".join(record["items"]), record["concept"]
    else:
        text, output = record.get("input"), record.get("output")
    if isinstance(output, list):
        output = "\n".join(output)
    if not isinstance(text, str) or not isinstance(output, str):
        raise DataError(f"{where}: needs text 'input' and 'output'")
    references = [output]
    for key in _REFERENCE_KEYS:
        references += [r for r in record.get(key, ()) if r not in references]
    return {
        "input": text,
        "output": output.split("\n")[0],
        "references": "\n".join(references),
    }
