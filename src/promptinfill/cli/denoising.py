"""Denoising as people can watch it: the text of some slots, step after step."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Any

from rich.text import Text

if TYPE_CHECKING:
    from promptinfill.diffusion.sampling import StepTrace

MASK = "░░"


@dataclass
class Frame:
    """The slots after one step, and what the step committed."""

    step: int
    committed: list[dict[str, Any]]
    text: Text

    def to_json(self) -> dict[str, Any]:
        """Plain JSON."""
        return {"step": self.step, "committed": self.committed, "text": self.text.plain}


@dataclass
class Film:
    """Collects the frames of one sample; give ``watch`` to a sampler as ``on_step``.

    Attributes:
        decode: token ids -> text.
        lengths: slots of each hole (or of the one answer); holes are set apart by a bar.
        end: a token after which nothing counts (EOS), shown as a dot.
        on_frame: called with every new frame.
    """

    decode: Callable[[list[int]], str]
    lengths: Sequence[int]
    end: int | None = None
    on_frame: Callable[[Frame], None] = lambda frame: None
    frames: list[Frame] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._tokens: list[int | None] = [None] * sum(self.lengths)
        self._add([], [])

    def watch(self, trace: "StepTrace") -> None:
        """Take one step of sample 0."""
        mine = (trace.samples == 0).tolist()
        columns = (trace.slots.tolist(), trace.token_ids.tolist(), trace.confidences.tolist())
        entries = [e for e, use in zip(zip(*columns, strict=True), mine, strict=True) if use]
        if not entries:
            return
        for slot, token, _ in entries:
            self._tokens[slot] = token
        self._add([slot for slot, _, _ in entries], entries)

    def _add(self, new: list[int], entries: Sequence[tuple[int, int, float]]) -> None:
        committed = [
            {"slot": slot, "token": self.decode([token]), "confidence": round(confidence, 4)}
            for slot, token, confidence in entries
        ]
        self.frames.append(Frame(len(self.frames), committed, self._text(set(new))))
        self.on_frame(self.frames[-1])

    def _text(self, new: set[int]) -> Text:
        holes = []
        for start, length in zip(accumulate(self.lengths, initial=0), self.lengths, strict=False):
            text = Text()
            for slot, piece in self._pieces(start, start + length):
                if self._tokens[slot] is None:
                    text.append(f" {MASK}", style="dim")
                else:
                    text.append(piece, style="bold cyan" if slot in new else "")
            lead = len(text.plain) - len(text.plain.lstrip())
            holes.append(text[lead:] if lead else text)
        return Text(" │ ", style="dim").join(holes)

    def _pieces(self, start: int, stop: int) -> list[tuple[int, str]]:
        """(slot, text) of each slot: neighbours are decoded together, so that spaces are right."""
        pieces: list[tuple[int, str]] = []
        ids: list[int] = []
        before, ended, after_mask = "", False, False
        for slot in range(start, stop):
            token = self._tokens[slot]
            if token is None:
                pieces.append((slot, ""))
                ids, before, after_mask = [], "", True
            elif ended or token == self.end:
                ended = True
                pieces.append((slot, " ·"))
            else:
                ids.append(token)
                whole = self.decode(ids)
                piece = whole[len(before) :]
                if after_mask and not piece.startswith(" "):
                    piece = f" {piece}"  # many tokenizers drop the first space of a text
                after_mask = False
                pieces.append((slot, piece.replace("\n", "⏎")))
                before = whole
        return pieces


def snapshots(frames: Sequence[Frame], count: int) -> list[Frame]:
    """``count`` frames spread evenly, the first and the last among them."""
    if len(frames) <= count:
        return list(frames)
    last = len(frames) - 1
    return [frames[round(i * last / (count - 1))] for i in range(count)]


def line(frame: Frame) -> Text:
    """A frame as one line, numbered."""
    return Text.assemble((f"{frame.step:>4}  ", "dim"), frame.text)
