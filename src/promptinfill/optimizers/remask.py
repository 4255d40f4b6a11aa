"""Re-masking: a finished prompt becomes a template again, with holes over words of its header.

The header is what stands above the line of the first field (a system prompt, an instruction); the
lines with the fields stay frozen. Which words, says a span (start, stop) over the header's words;
``unlikely_spans`` finds those that the model itself finds least likely (arXiv 2602.18449 re-masks
spans of a system prompt in the same spirit).
"""

import re
from collections.abc import Iterable, Sequence

import numpy as np
import torch

from promptinfill.data.encoding import encode_segments
from promptinfill.errors import PromptInfillError
from promptinfill.infilling.canvas import Example, canvas_segments
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.targets import Cost
from promptinfill.templates import Literal, Part, Template, escape

Span = tuple[int, int]


def header_words(prompt: Template) -> list[str]:
    """The words of the header, as ``remask`` counts them."""
    return re.findall(r"\S+", _header(prompt))


def remask(
    prompt: Template, spans: Sequence[Span], dlm: MaskedDiffusionLM, *, factor: float = 1.0
) -> Template:
    """``prompt`` with a hole over each span of header words.

    Args:
        prompt: without holes.
        spans: disjoint (start, stop) over :func:`header_words`.
        dlm: its tokens give the holes their lengths.
        factor: on each hole's length.

    Raises:
        PromptInfillError: a span outside the header, or two that overlap.
    """
    header = _header(prompt)
    words = list(re.finditer(r"\S+", header))
    out, at, word = [], 0, 0
    for start, stop in sorted(spans):
        if not word <= start < stop <= len(words):
            raise PromptInfillError(
                f"span {(start, stop)} does not fit: the prompt's header has {len(words)} words, "
                "and spans may not overlap"
            )
        first, last = words[start].start(), words[stop - 1].end()
        text = " " + header[first:last]
        tokens = len(dlm.tokenizer(text, add_special_tokens=False).input_ids)
        out += [escape(header[at:first]), f"[MASK:{max(1, round(tokens * factor))}]"]
        at, word = last, stop
    out.append(escape(header[at:]))
    _, block = prompt.header_and_block()
    return Template("".join(out) + spell(block), prompt.response)


def random_span(rng: np.random.Generator, words: int, share: float) -> Span:
    """A span of about ``share`` of the words, anywhere."""
    length = max(1, min(words, round(words * share)))
    start = int(rng.integers(0, words - length + 1))
    return start, start + length


def word_log_probs(
    dlm: MaskedDiffusionLM, prompt: Template, examples: Sequence[Example]
) -> tuple[list[float], Cost]:
    """Mean log-probability (nats a token) of each header word, masked alone, given the examples.

    One row per word and example: a pseudo-likelihood, as in arXiv 1910.14659, conditioned on the
    solved examples with their answers visible. The second value is what it cost.
    """
    words = header_words(prompt)
    canvases, truth = [], []
    for i in range(len(words)):
        holed = remask(prompt, [(i, i + 1)], dlm)
        ids = dlm.tokenizer(" " + words[i], add_special_tokens=False).input_ids
        for example in examples:
            segments = canvas_segments(holed, [example])
            canvases.append(encode_segments(dlm, [segments], end=True)[0])
            truth.append(ids)
    totals = np.zeros(len(words))
    for start in range(0, len(canvases), 32):
        chunk = canvases[start : start + 32]
        width = max(len(c) for c in chunk)
        tokens = torch.full((len(chunk), width), dlm.pad_token_id, dtype=torch.int64)
        slots = torch.full_like(tokens, -1)
        for row, canvas in enumerate(chunk):
            tokens[row, : len(canvas)] = torch.tensor(canvas.ids)
            slots[row, : len(canvas)] = torch.tensor(canvas.slot)
        lengths = torch.tensor([len(c) for c in chunk])
        attention = torch.arange(width) < lengths[:, None]
        with torch.inference_mode():
            hidden = dlm.hidden(tokens.to(dlm.device), attention.to(dlm.device))
            logits = dlm.logits_at(hidden, (slots >= 0).to(dlm.device)).float().cpu()
        log_probs = logits.log_softmax(dim=1)
        row_of = (slots >= 0).nonzero()[:, 0]
        slot_of = slots[slots >= 0]
        for line, (row, slot) in enumerate(zip(row_of.tolist(), slot_of.tolist(), strict=True)):
            number = start + row
            token = truth[number][slot]
            totals[number // len(examples)] += float(log_probs[line, token]) / len(truth[number])
    cost = Cost(len(canvases), sum(len(canvas) for canvas in canvases))
    return [float(total) / len(examples) for total in totals], cost


def unlikely_spans(log_probs: Sequence[float], share: float) -> list[Span]:
    """The least likely ``share`` of the words, neighbours joined into spans."""
    count = max(1, round(len(log_probs) * share))
    chosen = sorted(sorted(range(len(log_probs)), key=lambda i: (log_probs[i], i))[:count])
    spans: list[Span] = []
    for i in chosen:
        if spans and spans[-1][1] == i:
            spans[-1] = (spans[-1][0], i + 1)
        else:
            spans.append((i, i + 1))
    return spans


def spell(parts: Iterable[Part]) -> str:
    """Literals and fields in template syntax."""
    return "".join(
        escape(part.text) if isinstance(part, Literal) else "{" + str(part.name) + "}"
        for part in parts
    )


def _header(prompt: Template) -> str:
    if prompt.holes:
        raise PromptInfillError("the prompt to refine has a hole already: fill it first")
    header, _ = prompt.header_and_block()
    return "".join(part.text for part in header if isinstance(part, Literal))
