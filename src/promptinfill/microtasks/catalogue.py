"""All micro-tasks by name."""

from __future__ import annotations

from dataclasses import replace
from difflib import get_close_matches

from promptinfill.errors import TaskError
from promptinfill.microtasks import categories, letters, lists, numbers, sentences, word_forms
from promptinfill.microtasks.core import MicroTask

# How often a task is drawn, where once is too seldom: large fact tables, arithmetic, long answers.
_WEIGHTS = {
    "antonym": 3.0,
    "synonym": 2.0,
    "larger_animal": 3.0,
    "find_animals": 4.0,
    "find_fruits": 2.0,
    "sort_list": 2.0,
    "reverse_list": 2.0,
    "words_with_letter": 4.0,
    "active_to_passive": 3.0,
    "passive_to_active": 2.0,
    "negation": 4.0,
    "sentiment": 2.0,
    "plural": 2.0,
    "past_tense": 2.0,
    "sum": 4.0,
    "difference": 4.0,
    "number_to_words": 2.0,
}


def _build() -> dict[str, MicroTask]:
    table: dict[str, MicroTask] = {}
    for module in (letters, lists, numbers, word_forms, sentences, categories):
        for task in module.tasks():
            if task.name in table:
                raise TaskError(f"two micro-tasks are named {task.name!r}")
            table[task.name] = replace(task, weight=_WEIGHTS.get(task.name, 1.0))
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
