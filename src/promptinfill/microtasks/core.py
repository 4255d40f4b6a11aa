"""The two types every micro-task is made of, and the helper that keeps train and test apart."""

from __future__ import annotations

import random
import zlib
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property

from promptinfill.errors import TaskError
from promptinfill.microtasks.phrasing import expand_all

SPLITS = ("train", "test")
GROUPS = ("letters", "lists", "numbers", "words", "sentences", "categories")
_TEST_SHARE = 10  # one key in ten belongs to the test split


@dataclass(frozen=True)
class Item:
    """One input and its expected output."""

    input: str
    output: str


@dataclass(frozen=True)
class MicroTask:
    """One skill: how to make its items and how people ask for it.

    `make(rng, split)` returns a fresh random item; for an open task no test item occurs in train.
    `closed` marks tasks over a fixed table of facts (antonyms, capitals): their items are the same
    in both splits, because a fact that was never shown cannot be known. `weight` is the share of
    the task in the training stream. `held_out` tasks are never used in training. The patterns are
    expanded on first use, so that listing the tasks is quick.
    """

    name: str
    group: str
    make: Callable[[random.Random, str], Item]
    manual: str
    patterns: tuple[str, ...]
    held_out_patterns: tuple[str, ...]
    held_out: bool = False
    closed: bool = False
    weight: float = 1.0

    @cached_property
    def phrasings(self) -> tuple[str, ...]:
        """The instructions of training; `manual` is the first."""
        return expand_all([self.manual, *self.patterns])

    @cached_property
    def held_out_phrasings(self) -> tuple[str, ...]:
        """Instructions that no training record has: one of each pattern."""
        return expand_all(self.held_out_patterns, 1)


def is_test(key: str) -> bool:
    """Whether a word, number or whole input belongs to the test split (stable everywhere)."""
    return zlib.crc32(key.encode()) % _TEST_SHARE == 0


def split_by(
    draw: Callable[[random.Random], tuple[Item, str | None]],
) -> Callable[[random.Random, str], Item]:
    """Turn `draw(rng) -> (item, key)` into `make(rng, split)` by redrawing.

    The key decides the split; the key None marks an item that belongs to train only (irregular
    forms, for example, which are facts and not instances of a rule).
    """

    def make(rng: random.Random, split: str) -> Item:
        if split not in SPLITS:
            raise TaskError(f"unknown split {split!r}: use 'train' or 'test'")
        want = split == "test"
        while True:
            item, key = draw(rng)
            if (key is not None and is_test(key)) == want:
                return item

    return make


def shared(draw: Callable[[random.Random], Item]) -> Callable[[random.Random, str], Item]:
    """Turn `draw(rng)` of a closed fact table into `make(rng, split)`: both splits alike."""

    def make(rng: random.Random, split: str) -> Item:
        if split not in SPLITS:
            raise TaskError(f"unknown split {split!r}: use 'train' or 'test'")
        return draw(rng)

    return make
