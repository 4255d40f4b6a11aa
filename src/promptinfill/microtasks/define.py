"""One short way to define a task: patterns in, `MicroTask` out."""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable

from promptinfill.microtasks.core import Item, MicroTask


def define(
    name: str,
    group: str,
    make: Callable[[random.Random, str], Item],
    manual: str,
    patterns: tuple[list[str], list[str]],
    extra: Iterable[str] = (),
    *,
    held_out: bool = False,
    closed: bool = False,
    weight: float = 1.0,
) -> MicroTask:
    """`patterns` is (training, held out); `extra` adds training patterns."""
    train, other = patterns
    return MicroTask(
        name=name,
        group=group,
        make=make,
        manual=manual,
        patterns=(*train, *extra),
        held_out_patterns=tuple(other),
        held_out=held_out,
        closed=closed,
        weight=weight,
    )
