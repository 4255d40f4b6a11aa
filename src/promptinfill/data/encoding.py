"""Segments of text to tokens with exact spans, under any fast tokenizer.

Text is tokenised in runs. A run ends where the model has to write (a hole, or the response), so a
token never straddles that edge; inside a run the tokenizer works as it does on the final text, and
each token's span comes from its character offsets, never from searching.

Spaces directly before a hole or before the response are left out of the run: tokenizers of the GPT
kind put the space into the following word's token, so it is the model's to write. The text that
people see keeps the template's own spaces (see ``templates``).
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.templates import Segment

CONTROL, PROMPT, RESPONSE = 0, 1, 2  # region of a token; control tokens belong to neither text


@dataclass(frozen=True)
class Tokens:
    """What encoding needs of a model: cheap to hand to other processes, which need no weights."""

    tokenizer: Any
    bos_token_id: int | None
    eos_token_id: int
    mask_token_id: int

    @classmethod
    def of(cls, dlm: MaskedDiffusionLM) -> "Tokens":
        """Those of ``dlm``."""
        return cls(dlm.tokenizer, dlm.bos_token_id, dlm.eos_token_id, dlm.mask_token_id)


@dataclass
class EncodedSequence:
    """One sequence of L tokens with its spans, as plain lists of length L.

    Attributes:
        ids: token ids; a hole's tokens are mask tokens.
        region: CONTROL, PROMPT or RESPONSE.
        is_field: True for tokens that hold at least one character of a field's value.
        slot: -1, or for a hole's token which decision it is (see ``diffusion.sampling``).
    """

    ids: list[int] = field(default_factory=list)
    region: list[int] = field(default_factory=list)
    is_field: list[bool] = field(default_factory=list)
    slot: list[int] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.ids)

    def append(self, token: int, region: int, is_field: bool = False, slot: int = -1) -> None:
        """Add one token."""
        self.ids.append(token)
        self.region.append(region)
        self.is_field.append(is_field)
        self.slot.append(slot)


@dataclass
class _Run:
    """A stretch of text tokenised as one piece, made of parts (text, region, is_field)."""

    parts: list[tuple[str, int, bool]] = field(default_factory=list)
    control: bool = False

    def add(self, text: str, region: int, is_field: bool) -> None:
        if text:
            self.parts.append((text, region, is_field))

    def take_trailing_spaces(self) -> str:
        """Cut the spaces off the end and return them."""
        spaces = ""
        while self.parts and not self.control:
            text, region, is_field = self.parts.pop()
            kept = text.rstrip(" ")
            spaces = text[len(kept) :] + spaces
            if kept:
                self.parts.append((kept, region, is_field))
                break
        return spaces

    def text(self) -> str:
        return "".join(text for text, _, _ in self.parts)

    def kinds(self, offsets: list[tuple[int, int]]) -> tuple[list[int], list[bool]]:
        """Region of each token's last character, and whether any character is a field's."""
        regions, fields = [], []
        ends = list(itertools.accumulate(len(text) for text, _, _ in self.parts))
        first = 0  # the part that holds the token's first character
        for start, stop in offsets:
            while start >= ends[first] and first < len(ends) - 1:
                first += 1
            last, is_field = first, self.parts[first][2]
            while stop > ends[last]:
                last += 1
                is_field = is_field or self.parts[last][2]
            regions.append(self.parts[last][1])
            fields.append(is_field)
        return regions, fields


@dataclass(frozen=True)
class _HoleRun:
    length: int
    first_slot: int


def hole_slots(segments: Sequence[Segment]) -> dict[int, int]:
    """First slot of each distinct hole: holes of one name share slots, others follow in order."""
    first: dict[int, int] = {}
    total = 0
    for segment in segments:
        if segment.hole is not None and segment.hole.index not in first:
            first[segment.hole.index] = total
            total += segment.hole.length
    return first


def _runs(segments: Sequence[Segment]) -> list[_Run | _HoleRun]:
    first_slot = hole_slots(segments)
    runs: list[_Run | _HoleRun] = [_Run()]
    region = PROMPT
    for segment in segments:
        last = runs[-1]
        if segment.hole is not None and segment.text == "":
            if isinstance(last, _Run):
                last.take_trailing_spaces()
            runs.append(_HoleRun(segment.hole.length, first_slot[segment.hole.index]))
            continue
        if segment.kind == "control":
            if not (isinstance(last, _Run) and last.control):
                runs.append(_Run(control=True))
            runs[-1].add(segment.text, CONTROL, False)  # type: ignore[union-attr]
            continue
        if segment.region == "response" and region == PROMPT:
            region = RESPONSE
            spaces = last.take_trailing_spaces() if isinstance(last, _Run) else ""
            response = _Run()
            response.add(spaces, RESPONSE, False)
            runs.append(response)
        elif isinstance(last, _HoleRun) or last.control:
            runs.append(_Run())
        run = runs[-1]
        assert isinstance(run, _Run)
        run.add(segment.text, region, segment.kind == "field")
    return runs


def encode_segments(
    dlm: MaskedDiffusionLM | Tokens,
    sequences: Sequence[Sequence[Segment]],
    *,
    end: bool,
) -> list[EncodedSequence]:
    """Encode many sequences at once.

    Args:
        dlm: gives tokenizer, BOS, EOS and mask.
        sequences: the segments of each sequence (``Template.segments`` or several joined).
        end: whether the response is complete, so that EOS (a response token) follows it.
    """
    runs = [_runs(segments) for segments in sequences]
    text_runs = [run for row in runs for run in row if isinstance(run, _Run) and run.parts]
    encodings = {
        control: iter(
            _encode(dlm.tokenizer, [r.text() for r in text_runs if r.control == control], control)
        )
        for control in (False, True)
    }
    out = []
    for row in runs:
        sequence = EncodedSequence()
        first = next((run for run in row if isinstance(run, _HoleRun) or run.parts), None)
        if dlm.bos_token_id is not None and not (isinstance(first, _Run) and first.control):
            sequence.append(dlm.bos_token_id, CONTROL)
        for run in row:
            if isinstance(run, _HoleRun):
                for i in range(run.length):
                    sequence.append(dlm.mask_token_id, PROMPT, slot=run.first_slot + i)
            elif run.parts:
                encoding = next(encodings[run.control])
                ids = encoding.ids
                regions, fields = run.kinds(encoding.offsets)
                sequence.ids += ids
                sequence.region += regions
                sequence.is_field += fields
                sequence.slot += [-1] * len(ids)
        if end:
            sequence.append(dlm.eos_token_id, RESPONSE)
        out.append(sequence)
    return out


def _encode(tokenizer: Any, texts: list[str], control: bool) -> list[Any]:
    """Tokenise without adding specials; only control text may hold specials, data is plain text."""
    backend = tokenizer.backend_tokenizer
    backend.no_truncation()  # a tokenizer.json may ask for both; here every token counts
    backend.no_padding()
    before = backend.encode_special_tokens
    backend.encode_special_tokens = not control
    try:
        encodings: list[Any] = backend.encode_batch(texts, add_special_tokens=False)
    finally:
        backend.encode_special_tokens = before
    return encodings


def decode(dlm: MaskedDiffusionLM, ids: Sequence[int]) -> str:
    """Text of ``ids``, exactly as the tokenizer spells it, specials left out."""
    text: str = dlm.tokenizer.decode(
        list(ids), skip_special_tokens=True, clean_up_tokenization_spaces=False
    )
    return text
