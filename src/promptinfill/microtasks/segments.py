"""Generated records as segments: the instruction is literal text, inputs and outputs are fields."""

import functools
from typing import Literal

from promptinfill.microtasks.core import Item
from promptinfill.microtasks.generator import Record
from promptinfill.templates import Field, Part, Segment, Template
from promptinfill.templates import Literal as LiteralText

Region = Literal["prompt", "response"]


def record_segments(record: Record) -> tuple[Segment, ...]:
    """The segments of one record; their texts join to ``render_record``'s prompt and response."""
    header, block = _cut(record.template)
    segments = [_segment(part, record.instruction, record.item, "prompt") for part in header]
    for example in record.examples:
        segments += [_segment(part, record.instruction, example, "prompt") for part in block]
        segments.append(Segment("\n", "literal", None, "prompt", None))
    segments += [_segment(part, record.instruction, record.item, "response") for part in block]
    return tuple(segment for segment in segments if segment.text)


@functools.lru_cache(maxsize=64)
def _cut(source: str) -> tuple[tuple[Part, ...], tuple[Part, ...]]:
    """(header, block) of a format; the block is repeated for each solved example.

    ``{instruction}`` is a field of the format, so the cut is made at the line of ``{input}``.
    """
    start = source.rfind("\n", 0, source.index("{input}")) + 1
    header = Template(source[:start]).parts if start else ()
    return header, Template(source[start:], "output").parts


def _segment(part: Part, instruction: str, item: Item, output_region: Region) -> Segment:
    if isinstance(part, LiteralText):
        return Segment(part.text, "literal", None, "prompt", None)
    assert isinstance(part, Field)
    if part.name == "instruction":
        return Segment(instruction, "literal", None, "prompt", None)
    if part.name == "input":
        return Segment(item.input, "field", "input", "prompt", None)
    return Segment(item.output, "field", "output", output_region, None)
