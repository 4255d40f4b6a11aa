"""The bridge from encoded sequences to the reverse process: pad, predict, fill."""

import contextlib
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from promptinfill.data.encoding import EncodedSequence
from promptinfill.diffusion.sampling import (
    Denoised,
    Predict,
    SamplingOptions,
    StepTrace,
    denoise,
)
from promptinfill.errors import ModelError
from promptinfill.models.base import MaskedDiffusionLM
from promptinfill.models.hole_cache import CachedPredictor, CacheOptions


def fill_slots(
    dlm: MaskedDiffusionLM,
    sequences: Sequence[EncodedSequence],
    *,
    seeds: Sequence[int],
    options: SamplingOptions,
    allow_eos: bool,
    sample: Sequence[int] | None = None,
    row_weight: Sequence[float] | None = None,
    on_step: Callable[[StepTrace], None] | None = None,
    cache: CacheOptions | None = None,
) -> Denoised:
    """Denoise every slot of ``sequences``; see :func:`promptinfill.diffusion.sampling.denoise`.

    Args:
        dlm: the model.
        sequences: B canvases; their ``slot`` lists say what is to be filled.
        seeds: one per sample.
        options: decoding order, tokens per step, temperature and so on.
        allow_eos: whether EOS may come out (answers end, holes do not).
        sample: (B,) the sample of each canvas; default one sample per canvas.
        row_weight: (B,) weight of each canvas in its sample.
        cache: approximate, and faster for short holes in long contexts: recompute the slots alone
            between exact passes; see :mod:`promptinfill.models.hole_cache`. None is exact.

    Raises:
        ModelError: a canvas is longer than the model's positions.
    """
    longest = max(len(s) for s in sequences)
    if longest > dlm.max_length:
        raise ModelError(
            f"a canvas of {longest} tokens does not fit {dlm.name} ({dlm.max_length} positions); "
            "shorten the prompt, the examples or the room for the answer, or show fewer examples "
            "in one canvas (conditioning 'tied')"
        )
    tokens = _pad([s.ids for s in sequences], dlm.pad_token_id, dlm.device)
    slots = _pad([s.slot for s in sequences], -1, dlm.device)
    lengths = torch.tensor([len(s) for s in sequences], device=dlm.device)
    attention = torch.arange(longest, device=dlm.device) < lengths[:, None]
    suppressed = dlm.suppressed.clone()
    suppressed[torch.tensor(dlm.end_token_ids)] = not allow_eos

    def predict(tokens: Tensor, rows: Tensor, masked: Tensor) -> Tensor:
        kept = attention[rows]
        width = int(kept.sum(dim=1).max())  # rows that have left take their padding with them
        hidden = dlm.hidden(tokens[:, :width], kept[:, :width])
        return dlm.logits_at(hidden, masked[:, :width])

    how: contextlib.AbstractContextManager[Predict] = contextlib.nullcontext(predict)
    if cache is not None:
        how = CachedPredictor(dlm, slots, attention, cache).installed()
    with how as chosen:
        return denoise(
            chosen,
            tokens,
            slots,
            mask_token_id=dlm.mask_token_id,
            options=options,
            seeds=torch.tensor(list(seeds), dtype=torch.int64, device=dlm.device),
            sample=None if sample is None else torch.tensor(list(sample), device=dlm.device),
            row_weight=None
            if row_weight is None
            else torch.tensor(list(row_weight), device=dlm.device),
            suppressed=suppressed.to(dlm.device),
            on_step=on_step,
        )


def _pad(rows: Sequence[Sequence[int]], fill: int, device: torch.device) -> Tensor:
    width = max(len(row) for row in rows)
    padded = [[*row, *[fill] * (width - len(row))] for row in rows]
    return torch.tensor(padded, dtype=torch.int64, device=device)
