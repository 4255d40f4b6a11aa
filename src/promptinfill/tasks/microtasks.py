"""The generator's micro-tasks as tasks: rows are made on the spot, from inputs that training lacks.

Closed tasks are the exception: their fact tables (antonyms, capitals) are the same in both splits.

task: first_letter      input: "garden"      output: "g"
"""

import random

from promptinfill.microtasks import CATALOGUE, MicroTask
from promptinfill.microtasks import get_task as get_microtask
from promptinfill.tasks import Row, Splits, Summary, Task
from promptinfill.tasks.metrics import exact_text

_BLOCK = "\nInput: {input}\nOutput: {output}"


def summaries() -> list[Summary]:
    """Every micro-task."""
    return [_summary(micro) for micro in CATALOGUE.values()]


def _summary(micro: MicroTask) -> Summary:
    return Summary(micro.name, f"{micro.group}: {micro.manual}", _notes(micro))


def _notes(micro: MicroTask) -> str:
    if micro.held_out:
        return "never trained on"
    return "facts seen in training" if micro.closed else ""


def load(name: str, splits: Splits) -> Task:
    """Draw fresh rows of one micro-task from the generator's test split."""
    micro = get_microtask(name)
    wanted = splits.examples + splits.validation + splits.test
    rows: dict[str, Row] = {}
    rng = random.Random(f"{name}/{splits.seed}")
    for _ in range(50 * wanted):  # a small task may not have so many different inputs
        item = micro.make(rng, "test")
        rows.setdefault(item.input, {"input": item.input, "output": item.output})
        if len(rows) == wanted:
            break
    pool = list(rows.values())
    shares = [splits.examples, splits.validation, splits.test]
    counts = [max(1, len(pool) * share // wanted) for share in shares]
    examples, validation = pool[: counts[0]], pool[counts[0] : counts[0] + counts[1]]
    about = _summary(micro)
    return Task(
        name=about.name,
        description=about.description,
        template="[MASK:12]" + _BLOCK,
        response="output",
        manual=(micro.manual + _BLOCK, *(p + _BLOCK for p in micro.held_out_phrasings)),
        examples=examples,
        validation=validation,
        test=pool[counts[0] + counts[1] :][: splits.test],
        metric=exact_text,
        notes=about.notes,
    )
