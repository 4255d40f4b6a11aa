"""Records for training and testing: an instruction, solved examples, and one asked item."""

from __future__ import annotations

import random
import re
from bisect import bisect
from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate

from promptinfill.errors import TaskError
from promptinfill.microtasks import words
from promptinfill.microtasks.catalogue import CATALOGUE, get_task
from promptinfill.microtasks.core import SPLITS, Item, MicroTask
from promptinfill.microtasks.phrasing import IMPERATIVES, is_reserved, lower_first

FORMATS: tuple[tuple[str, float], ...] = (
    ("{instruction}\nInput: {input}\nOutput: {output}", 55),
    ("{instruction}\n\nInput: {input}\nOutput: {output}", 10),
    ("Instruction: {instruction}\nInput: {input}\nOutput: {output}", 10),
    ("Instruction: {instruction}\n\nInput: {input}\nOutput: {output}", 5),
    ("{instruction}\nQ: {input}\nA: {output}", 8),
    ("{instruction} {input}\nOutput: {output}", 4),
    ("Input: {input}\n{instruction}\nOutput: {output}", 4),
    ("{instruction}\nText: {input}\nAnswer: {output}", 4),
)
# Without an instruction only the block is left: the task must be read off the examples.
BARE_FORMATS: tuple[tuple[str, float], ...] = (
    ("Input: {input}\nOutput: {output}", 80),
    ("Q: {input}\nA: {output}", 12),
    ("Text: {input}\nAnswer: {output}", 8),
)
_EXAMPLE_COUNTS = ((0, 50), (1, 15), (2, 12), (3, 12), (4, 6), (5, 5))
_EMPTY_INSTRUCTION = 0.06
_WRAPPED = 0.05
LONGEST = 500  # characters of prompt and response together
_PLACEHOLDER = re.compile(r"\{(instruction|input|output)\}")


@dataclass(frozen=True)
class Record:
    """One training or test text in parts.

    `instruction` is "" when the task has to be read off the examples; `template` is the source of
    a promptinfill Template (fields instruction, input, output; the last is the response).
    """

    task: str
    instruction: str
    examples: tuple[Item, ...]
    item: Item
    template: str


class _Choice:
    """Weighted choice with one random number."""

    def __init__(self, pairs: tuple[tuple[object, float], ...]) -> None:
        self.values = [value for value, _ in pairs]
        self.bounds = list(accumulate(weight for _, weight in pairs))

    def __call__(self, rng: random.Random) -> object:
        place = bisect(self.bounds, rng.random() * self.bounds[-1])
        return self.values[min(place, len(self.values) - 1)]


_pick_format = _Choice(FORMATS)
_pick_bare_format = _Choice(BARE_FORMATS)
_pick_count = _Choice(_EXAMPLE_COUNTS)


@lru_cache(maxsize=1)
def _pick_task() -> _Choice:
    return _Choice(tuple((t, t.weight) for t in CATALOGUE.values() if not t.held_out))


@lru_cache(maxsize=64)
def _cut(template: str) -> tuple[str, tuple[tuple[str, str], ...]]:
    """(header, block): the block starts at the line that holds {input}; as (literal, field)s."""
    start = template.rfind("\n", 0, template.index("{input}")) + 1
    block = []
    for literal, field in zip(
        *[iter([*_PLACEHOLDER.split(template[start:]), ""])] * 2, strict=True
    ):
        block.append((literal, field))
    return template[:start], tuple(block)


def _block(parts: tuple[tuple[str, str], ...], instruction: str, item: Item, out: str) -> str:
    values = {"instruction": instruction, "input": item.input, "output": out, "": ""}
    return "".join(literal + values[field] for literal, field in parts)


def _surface(rng: random.Random, phrasing: str) -> str:
    """The phrasing as someone would type it: ending, capital, now and then a polite opening."""
    text = phrasing
    opener = text.split(" ", 1)[0].lower()
    if rng.random() < _WRAPPED and opener in IMPERATIVES and "?" not in text:
        low = lower_first(text)
        wrapped = rng.choice(
            (
                f"Please {low}",
                f"Your task is to {low}",
                f"For each input, {low}",
                f"You will be given an input. {text}",
                f"Your job: {low}",
                f"I want you to {low}",
            )
        )
        text = text if is_reserved(wrapped) else wrapped
    if not text.endswith("?"):
        roll = rng.random()
        text += "." if roll < 0.55 else ":" if roll < 0.6 else ""
    return lower_first(text) if rng.random() < 0.15 else text


def sample_record(
    rng: random.Random,
    *,
    split: str = "train",
    task: str | None = None,
    phrasings: str = "train",
) -> Record:
    """One random record.

    split: which items (examples included); task: a name, or None for a random task that is used
    in training; phrasings: "train" or "held_out" wordings of the instruction. A held-out task
    has no training records: TaskError for split "train".
    """
    if split not in SPLITS:
        raise TaskError(f"unknown split {split!r}: use 'train' or 'test'")
    if phrasings not in ("train", "held_out"):
        raise TaskError(f"unknown phrasings {phrasings!r}: use 'train' or 'held_out'")
    chosen = get_task(task) if task is not None else _pick_task()(rng)
    assert isinstance(chosen, MicroTask)
    if chosen.held_out and split == "train":
        raise TaskError(f"micro-task {chosen.name!r} is held out: it has no training records")
    wordings = chosen.phrasings if phrasings == "train" else chosen.held_out_phrasings
    instruction = _surface(rng, rng.choice(wordings))
    count = int(str(_pick_count(rng)))
    template = str(_pick_format(rng))
    item = chosen.make(rng, split)
    examples: list[Item] = []
    length = len(instruction) + len(item.input) + len(item.output) + 30
    overhead = 20 + (len(instruction) if _cut(template)[0] == "" else 0)
    seen = {item.input}
    for _ in range(count):
        example = chosen.make(rng, split)
        length += len(example.input) + len(example.output) + overhead
        if length > LONGEST:
            break
        if example.input not in seen:
            seen.add(example.input)
            examples.append(example)
    if len(examples) >= 2 and rng.random() < _EMPTY_INSTRUCTION:
        instruction, template = "", str(_pick_bare_format(rng))
    return Record(chosen.name, instruction, tuple(examples), item, template)


def render_record(record: Record) -> tuple[str, str]:
    """(prompt, response). The prompt ends where the response starts, the space before it kept."""
    header, block = _cut(record.template)
    parts = [header.replace("{instruction}", record.instruction)]
    for example in record.examples:
        parts.append(_block(block, record.instruction, example, example.output) + "\n")
    parts.append(_block(block, record.instruction, record.item, ""))
    return "".join(parts), record.item.output


def records(seed: int, count: int, split: str = "train", start: int = 0) -> Iterator[Record]:
    """Records start .. start+count-1 of an endless stream; record i depends only on (seed, i)."""
    for index in range(start, start + count):
        yield sample_record(random.Random(f"{seed}/{split}/{index}"), split=split)


_WORD = re.compile(r"[A-Za-z]+(?:'[a-z]+)?")
_FIXED = """
the a an and or but of in on at to from with for by as that this these those it he she they I we
you who whom what which when why where how is are was were be been has have had do does did can
could cannot will would shall should may must might not no yes some many very so yet because while
although after before born located situated founded owned named made built written known employed
married member part field positive negative odd even Please Your task job For each Instruction
Input Output Text Answer Q A one two three four five six seven eight nine ten eleven twelve thirteen
fourteen fifteen sixteen seventeen eighteen nineteen twenty thirty forty fifty sixty seventy eighty
ninety hundred thousand zero more most
"""


@lru_cache(maxsize=1)
def _vocabulary() -> tuple[str, ...]:
    texts = [p for t in CATALOGUE.values() for p in (*t.phrasings, *t.held_out_phrasings)]
    texts += [template for template, _ in (*FORMATS, *BARE_FORMATS)]
    texts += [_FIXED, *words.CATEGORY_FILES]
    texts += ["I want you to", "You will be given an input", "Your job is to"]
    found: dict[str, None] = {}
    for text in texts:
        for word in _WORD.findall(_PLACEHOLDER.sub("", text)):
            found[word] = None
            found[lower_first(word)] = None
    return tuple(sorted(found))


def vocabulary_words() -> list[str]:
    """Words of instructions, formats and the fixed parts of sentences, both cases where used."""
    return list(_vocabulary())


def content_words() -> list[str]:
    """Words of the lexicon, which occur in inputs and outputs."""
    return list(words.content_words())


__all__ = [
    "FORMATS",
    "Record",
    "content_words",
    "records",
    "render_record",
    "sample_record",
    "vocabulary_words",
]
