"""Micro-tasks over words, letters, lists, numbers and sentences, asked for in plain English.

An unlimited source of training records and held-out tests for a small language model that follows
instructions and, shown solved examples, writes them.
"""

from promptinfill.microtasks.catalogue import CATALOGUE, get_task
from promptinfill.microtasks.core import Item, MicroTask
from promptinfill.microtasks.generator import (
    Record,
    content_words,
    records,
    render_record,
    sample_record,
    vocabulary_words,
)

__all__ = [
    "CATALOGUE",
    "Item",
    "MicroTask",
    "Record",
    "content_words",
    "get_task",
    "records",
    "render_record",
    "sample_record",
    "vocabulary_words",
]
