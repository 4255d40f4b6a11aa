"""All micro-tasks by name."""

from __future__ import annotations

import re
from difflib import get_close_matches

from promptinfill.errors import TaskError
from promptinfill.microtasks import categories, letters, lists, numbers, sentences, word_forms
from promptinfill.microtasks.core import MicroTask


def _build() -> dict[str, MicroTask]:
    table: dict[str, MicroTask] = {}
    for module in (letters, lists, numbers, word_forms, sentences, categories):
        for task in module.tasks():
            if task.name in table:
                raise TaskError(f"two micro-tasks are named {task.name!r}")
            table[task.name] = task
    return table


CATALOGUE: dict[str, MicroTask] = _build()


def get_task(name: str) -> MicroTask:
    """The task of that name; TaskError with the known names otherwise."""
    try:
        return CATALOGUE[name]
    except KeyError:
        close = get_close_matches(name, CATALOGUE, n=1)
        hint = f" (did you mean {close[0]!r}?)" if close else ""
        known = ", ".join(sorted(CATALOGUE))
        raise TaskError(f"unknown micro-task {name!r}{hint}; known tasks: {known}") from None


def _instruction_words() -> tuple[str, ...]:
    text = " ".join(p for task in CATALOGUE.values() for p in task.phrasings)
    found = dict.fromkeys(re.findall(r"\b[a-z]{2,12}\b", text.lower()))
    return tuple(sorted(found))


letters.set_instruction_words(_instruction_words())
