"""Lossless infilling: the same greedy tokens as the plain implementation, in less."""

from typing import Any

import torch

from baselines import plain_infill
from harness import Report, available_gib, interleaved, peak_memory
from promptinfill.diffusion.sampling import SamplingOptions
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.models.denoising import fill_slots
from shapes import canvases, encoder

CONTEXT, HOLE, CANDIDATES = 512, 16, 16
_GIB_PER_ENTRY = 3 * 4 / 2**30  # of (rows, length, vocabulary): logits, softmax, and room to spare


def compare(name: str, vocabulary: int, *, steps: int, repeats: int) -> Report:
    """The hole denoised in ``steps`` equal steps by both sides, each canvas with its own context.

    Both do the same forwards, so the ratio does not depend on their number; few keep it short.
    """
    candidates = CANDIDATES
    while candidates > 1 and (
        candidates * CONTEXT * vocabulary * _GIB_PER_ENTRY > available_gib() - 1
    ):
        candidates //= 2  # the plain side would not fit this machine's memory now
    dlm = encoder(vocabulary)
    timings, results = interleaved(
        {
            "baseline": lambda: plain(dlm, candidates, HOLE // steps),
            "ours": lambda: lossless(dlm, candidates, HOLE // steps),
        },
        repeats,
    )
    equal = bool(torch.equal(results["baseline"], results["ours"]))
    for side, work in (("baseline", plain_process), ("ours", lossless_process)):
        timings[side]["memory_mib"] = peak_memory(work, vocabulary, candidates)
    return Report(
        name,
        f"random encoder of 26M parameters at vocabulary 30522, here {vocabulary}; {candidates} "
        f"candidates with contexts of their own, context {CONTEXT}, hole {HOLE}, {steps} steps, "
        "greedy, float32",
        timings["baseline"],
        timings["ours"],
        equal,
        "the same tokens everywhere",
        repeats,
        {"vocabulary": vocabulary, "candidates": candidates, "steps": steps},
    )


def infill_30k() -> Report:
    """Vocabulary 30522."""
    return compare("infill_30k", 30522, steps=4, repeats=3)


def infill_126k() -> Report:
    """Vocabulary 126464, LLaDA's."""
    return compare("infill_126k", 126464, steps=2, repeats=2)


def plain(
    dlm: MaskedDiffusionLM, candidates: int, per_step: int, max_steps: int | None = None
) -> torch.Tensor:
    """The baseline's side: (B, L) tokens."""
    rows = canvases(dlm, candidates, CONTEXT, HOLE, shared=False)
    suppressed = dlm.suppressed.clone()
    suppressed[dlm.eos_token_id] = True
    return plain_infill(
        dlm,
        torch.tensor([row.ids for row in rows]),
        torch.tensor([row.slot for row in rows]) >= 0,
        tokens_per_step=per_step,
        suppressed=suppressed,
        max_steps=max_steps,
    )


def lossless(dlm: MaskedDiffusionLM, candidates: int, per_step: int, **how: Any) -> torch.Tensor:
    """Our side: (B, L) tokens."""
    rows = canvases(dlm, candidates, CONTEXT, HOLE, shared=False)
    return fill_slots(
        dlm,
        rows,
        seeds=list(range(candidates)),
        options=SamplingOptions(tokens_per_step=per_step),
        allow_eos=False,
        **how,
    ).tokens


def plain_process(vocabulary: int, candidates: int) -> None:
    """One whole step of the baseline, for its peak memory: every step needs the same."""
    plain(encoder(vocabulary), candidates, 1, max_steps=1)


def lossless_process(vocabulary: int, candidates: int) -> None:
    """A whole run of ours, in the fewest steps: the first needs most."""
    lossless(encoder(vocabulary), candidates, HOLE)
