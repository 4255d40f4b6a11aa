"""What generated texts look like: sampling them, and numbers about their diversity and ends."""

import math
import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass

from promptinfill.data.encoding import RESPONSE, decode, encode_segments
from promptinfill.diffusion.sampling import SamplingOptions
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.models.denoising import fill_slots
from promptinfill.templates import Segment


@dataclass(frozen=True)
class Generated:
    """One sampled response.

    Attributes:
        text: up to the first EOS.
        tokens: how many tokens that is.
        ended: whether an EOS stands in the canvas.
    """

    text: str
    tokens: int
    ended: bool


def sample_responses(
    dlm: MaskedDiffusionLM,
    prompts: Sequence[str],
    *,
    room: int,
    options: SamplingOptions,
    seeds: Sequence[int],
    batch_size: int = 64,
) -> list[Generated]:
    """Fill a canvas of ``room`` tokens behind each prompt; an empty prompt is "unconditional"."""
    segments = [[Segment(text.rstrip(" "), "field", None, "prompt", None)] for text in prompts]
    canvases = encode_segments(dlm, segments, end=False)
    for canvas in canvases:
        for slot in range(room):
            canvas.append(dlm.mask_token_id, RESPONSE, slot=slot)
    out: list[Generated] = []
    for start in range(0, len(canvases), batch_size):
        batch = canvases[start : start + batch_size]
        done = fill_slots(
            dlm, batch, seeds=seeds[start : start + batch_size], options=options, allow_eos=True
        )
        for canvas, filled in zip(batch, done.tokens.tolist(), strict=True):
            ids = filled[len(canvas) - room : len(canvas)]
            ended = dlm.eos_token_id in ids
            kept = ids[: ids.index(dlm.eos_token_id)] if ended else ids
            out.append(Generated(decode(dlm, kept).strip(), len(kept), ended))
    return out


def distinct(texts: Sequence[str], n: int) -> float:
    """Distinct-n (Li et al. 2016): different n-grams of words over all n-grams, of all texts."""
    grams = [gram for text in texts for gram in _grams(text, n)]
    return len(set(grams)) / len(grams) if grams else math.nan


def repetition(text: str, n: int = 2) -> float:
    """Share of a text's n-grams that occurred in it before (seq-rep-n, Welleck et al. 2020)."""
    grams = _grams(text, n)
    return 1 - len(set(grams)) / len(grams) if grams else 0.0


def self_bleu(texts: Sequence[str]) -> list[float]:
    """BLEU of each text against all the others (Zhu et al. 2018), in 0..1, by sacrebleu.

    High values say that the texts resemble each other. Empty texts are left out.

    Raises:
        ImportError: sacrebleu is not installed.
    """
    from sacrebleu.metrics.bleu import BLEU

    bleu = BLEU(effective_order=True)
    kept = [text for text in texts if text]
    return [
        bleu.sentence_score(text, kept[:i] + kept[i + 1 :]).score / 100
        for i, text in enumerate(kept)
        if len(kept) > 1
    ]


def failure_kind(answer: str, reference: str, given: str = "") -> str:
    """What is wrong with a wrong answer, by the first description that fits.

    Args:
        answer: of the model.
        reference: the right answer.
        given: the input, to tell copies of it.
    """
    a, r = answer.strip(), reference.strip()
    plain_a, plain_r = " ".join(a.lower().split()), " ".join(r.lower().split())
    if not a:
        return "no answer"
    if plain_a.strip(".,!?'\"") == plain_r.strip(".,!?'\""):
        return "case, spaces or punctuation"
    if plain_a == " ".join(given.lower().split()):
        return "copy of the input"
    if Counter(plain_a.split()) == Counter(plain_r.split()):
        return "right words, wrong order"
    if f" {plain_r} " in f" {plain_a} ":
        return "right answer and more"
    if plain_r.startswith(plain_a) or f" {plain_a} " in f" {plain_r} ":
        return "part of the right answer"
    from difflib import SequenceMatcher

    if SequenceMatcher(None, plain_a, plain_r, autojunk=False).ratio() >= 0.75:
        return "near miss (few characters off)"
    words = set(re.findall(r"\w+", plain_a))
    if words <= set(re.findall(r"\w+", given.lower())) or plain_a in given.lower():
        return "wrong part of the input"
    if plain_a.isdecimal() and plain_r.isdecimal():
        return "wrong number"
    return "another answer"


def _grams(text: str, n: int) -> list[tuple[str, ...]]:
    words = text.split()
    return [tuple(words[i : i + n]) for i in range(len(words) - n + 1)]
