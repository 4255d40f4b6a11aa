"""Canvases: the template over solved examples, holes masked, reference responses visible.

The response is what tells the model which prompt would have produced it. Two conditionings, and
what lies between them:

- ``concat``: all examples of a candidate in one canvas. The template's header (everything above the
  line of its first field) is written once, the rest once for each example.
- ``tied``: one canvas per example; the holes are shared: each step commits one token in all.
- ``tied`` over groups: several canvases of several examples each.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from promptinfill.data.encoding import EncodedSequence, encode_segments
from promptinfill.errors import TemplateError
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.templates import Hole, Part, Segment, Template
from promptinfill.templates import Literal as LiteralText

Conditioning = Literal["concat", "tied"]
Example = Mapping[str, str]


@dataclass(frozen=True)
class Canvases:
    """The rows of one candidate.

    Attributes:
        rows: encoded canvases with open slots.
        weights: weight of each row's log-probabilities (see ``diffusion.sampling``).
    """

    rows: list[EncodedSequence]
    weights: list[float]


def canvas_segments(template: Template, examples: Sequence[Example]) -> list[Segment]:
    """Segments of one canvas: header once, then the block for each example.

    Only the last example's answer is the response; the others are prompt text, as in a few-shot
    prompt. A line break separates the blocks.
    """
    header, block = template.header_and_block()
    segments = list(_segments(header, {}, template.response, last=False))
    for i, example in enumerate(examples):
        last = i == len(examples) - 1
        if i:
            segments.append(Segment("\n", "literal", None, "prompt", None))
        segments += _segments(block, example, template.response, last=last)
    return segments


def _segments(
    parts: Sequence[Part], example: Example, response: str | None, *, last: bool
) -> list[Segment]:
    out = []
    for part in parts:
        if isinstance(part, LiteralText):
            out.append(Segment(part.text, "literal", None, "prompt", None))
        elif isinstance(part, Hole):
            out.append(Segment("", "hole", part.name, "prompt", part))
        else:
            region: Literal["prompt", "response"] = (
                "response" if last and part.name == response else "prompt"
            )
            out.append(Segment(example[part.name], "field", part.name, region, None))
    return out


def check_examples(template: Template, examples: Sequence[Example], what: str) -> None:
    """Raise TemplateError when an example lacks a field of the template; ``what`` names the set."""
    for i, example in enumerate(examples):
        for name in template.fields:
            if not isinstance(example.get(name), str):
                raise TemplateError(
                    f"{what}[{i}] has no text for field {name!r} (it has {sorted(example)})"
                )
        if not isinstance(example.get("references", ""), str):
            raise TemplateError(f"{what}[{i}]: 'references' must be one text, an answer a line")


def build_canvases(
    dlm: MaskedDiffusionLM,
    template: Template,
    groups: Sequence[Sequence[Example]],
    *,
    prior_weight: float = 0.0,
    guidance: float = 0.0,
) -> Canvases:
    """Encode the canvases of one candidate.

    Args:
        template: with holes open.
        groups: the examples of each canvas: ``[[a, b, c]]`` is concat, ``[[a], [b], [c]]`` tied.
        prior_weight: how much of the prior p(h) to take out again: with K canvases and weight 1 the
            combination is prod_k p(h | k) / p(h)^(K-1) (METHOD: the product of experts counts the
            prior K times).
        guidance: strength s of classifier-free guidance: what the examples say, the prior taken
            out or not, weighs 1 + s, the unconditional row (examples masked) -s.

    The canvases are averaged (weight 1/K each) before prior and guidance, unless the prior is
    taken out, when they multiply.
    """
    rows = encode_segments(dlm, [canvas_segments(template, group) for group in groups], end=True)
    count = len(rows)
    conditional = (1.0 if prior_weight else 1.0 / count) * (1.0 + guidance)
    weights = [conditional] * count
    unconditional = -prior_weight * (count - 1) * (1.0 + guidance) - guidance
    if unconditional:
        rows.append(_without_examples(dlm, rows[0]))
        weights.append(unconditional)
    return Canvases(rows, weights)


def _without_examples(dlm: MaskedDiffusionLM, canvas: EncodedSequence) -> EncodedSequence:
    """The same canvas with every token of the examples masked (and never filled)."""
    ids = [
        dlm.mask_token_id if is_field else token
        for token, is_field in zip(canvas.ids, canvas.is_field, strict=True)
    ]
    return EncodedSequence(ids, canvas.region, canvas.is_field, canvas.slot)


def grouped(
    examples: Sequence[Example], conditioning: Conditioning, per_canvas: int = 1
) -> list[list[Example]]:
    """Split a candidate's examples into canvases."""
    if conditioning == "concat":
        return [list(examples)]
    return [list(examples[i : i + per_canvas]) for i in range(0, len(examples), per_canvas)]
