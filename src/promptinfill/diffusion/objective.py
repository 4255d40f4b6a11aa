"""The training objective: weighted cross-entropy at masked positions.

    L = E_t E_mask [ w(t) * sum over masked i of -log p(x_i | x_t) ] / (number of eligible tokens)

an upper bound on the negative log-likelihood per eligible token (MDLM, arXiv 2406.07524; LLaDA,
arXiv 2502.09992, its pre-training loss, and its SFT loss when only responses are eligible). Every
option of `LossWeights` is a factor per token, so the loss is one sum of products, and no (batch,
length, vocabulary) tensor exists.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional
from torch.utils.checkpoint import checkpoint

from promptinfill.diffusion.masking import Spans, count_in_own_sequence, count_per_sequence
from promptinfill.errors import RecipeError

# Logits of a chunk hold at most about this many entries (256 MiB in float32).
_CHUNK_ENTRIES = 2**26


@dataclass(frozen=True)
class LossWeights:
    """How the losses of single tokens become one number.

    time: "schedule" weighs by w(t) (the bound); "uniform" weighs every masked token alike, and then
        *masked* tokens are counted where "schedule" counts eligible ones: the loss is a mean over
        masked tokens.
    prompt, response: weight of a masked token of either region. Control tokens, should a policy
        make them eligible, go with the prompt.
    balance_regions: divide each region by its own count before weighing, so that the loss is
        response * (mean over response) + prompt * (mean over prompt), however long each is.
    normalisation: what a count is.
        "token": tokens of the batch.
        "sequence": each sequence's sum is divided by its own tokens (LLaDA's SFT), then the mean is
        taken over the sequences that have any.
        "batch": the number of sequences, so that long ones weigh more.
    """

    time: Literal["schedule", "uniform"] = "schedule"
    prompt: float = 1
    response: float = 1
    balance_regions: bool = False
    normalisation: Literal["token", "sequence", "batch"] = "token"

    def __post_init__(self) -> None:
        if self.time not in ("schedule", "uniform"):
            raise RecipeError(f"loss time is {self.time!r}: choose schedule or uniform")
        if self.normalisation not in ("token", "sequence", "batch"):
            raise RecipeError(
                f"loss normalisation is {self.normalisation!r}: choose token, sequence or batch"
            )
        if not (self.prompt >= 0 and self.response >= 0 and self.prompt + self.response > 0):
            raise RecipeError(
                f"loss weights are prompt {self.prompt} and response {self.response}: "
                "use numbers >= 0, at least one above 0"
            )
        if self.balance_regions and self.normalisation == "batch":
            raise RecipeError(
                "balance_regions divides regions by their own counts and normalisation 'batch' by "
                "the number of sequences: choose one of them"
            )


@dataclass(frozen=True)
class DiffusionLoss:
    """`total` is what to differentiate; the rest is detached, for the log. All are scalars."""

    total: Tensor
    prompt: Tensor
    """Mean cross-entropy over the masked prompt tokens, unweighted; 0 where there are none."""
    response: Tensor
    """The same over the response."""
    prompt_count: Tensor
    """Masked prompt tokens, int64."""
    response_count: Tensor
    """Masked response tokens, int64."""


def masked_cross_entropy(logits: Tensor, targets: Tensor) -> Tensor:
    """-log p(target) for each masked position.

    Args:
        logits: (M, V), any float dtype; computed in float32.
        targets: (M,) int64.

    Returns:
        (M,) float32.
    """
    return functional.cross_entropy(logits.float(), targets, reduction="none")


def chunked_cross_entropy(
    logits_at: Callable[[Tensor, Tensor], Tensor],
    hidden: Tensor,
    masked: Tensor,
    targets: Tensor,
    *,
    vocab_size: int,
    chunk_entries: int = _CHUNK_ENTRIES,
) -> Tensor:
    """`masked_cross_entropy` of the output layer's logits, with bounded memory.

    Masked positions go through the output layer a chunk at a time, and the backward pass computes a
    chunk's logits anew, so that one chunk of logits exists at any moment, however many tokens are
    masked. What fits in one chunk takes the plain path.

    Args:
        logits_at: (hidden (B, L, D), positions (B, L) bool) -> (m, V), in row-major order.
        hidden: (B, L, D).
        masked: (B, L) bool, M of them True.
        targets: (B, L) int64, clean tokens.
        vocab_size: V.
        chunk_entries: most entries of a chunk's logits; at least one position goes at a time.

    Returns:
        (M,) float32, in row-major order of `masked`.
    """
    per_chunk = max(1, chunk_entries // vocab_size)
    order = masked.flatten().cumsum(0).view_as(masked)  # 1-based number of each masked position
    if masked.numel() <= per_chunk or (count := int(order[-1, -1])) <= per_chunk:
        return masked_cross_entropy(logits_at(hidden, masked), targets[masked])

    def chunk_loss(hidden: Tensor, positions: Tensor) -> Tensor:
        return masked_cross_entropy(logits_at(hidden, positions), targets[positions])

    losses = []
    for start in range(0, count, per_chunk):
        positions = masked & (order > start) & (order <= start + per_chunk)
        losses.append(checkpoint(chunk_loss, hidden, positions, use_reentrant=False))
    return torch.cat(losses)


def count_items(masked: Tensor, eligible: Tensor, spans: Spans, weights: LossWeights) -> Tensor:
    """The counts that `diffusion_loss` divides by.

    Sum them over the micro-batches of one optimiser step and pass the sum as `num_items`: the
    micro-batches' losses then add up to the loss of the whole batch.

    Returns:
        int64 (1,), or (2,) as (prompt, response) under `balance_regions`. Tokens under
        normalisation "token", sequences under the others.
    """
    counted = masked if weights.time == "uniform" else eligible
    counts = []
    for region in _regions(spans, weights):
        if weights.normalisation == "token":
            counts.append((counted & region).sum())
        elif weights.normalisation == "sequence":
            counts.append((count_per_sequence(counted & region, spans.sequence) > 0).sum())
        else:
            present = torch.ones_like(region)
            counts.append((count_per_sequence(present, spans.sequence) > 0).sum())
    return torch.stack(counts)


def diffusion_loss(
    token_loss: Tensor,
    masked: Tensor,
    eligible: Tensor,
    spans: Spans,
    time_weight: Tensor,
    weights: LossWeights,
    num_items: Tensor | None = None,
) -> DiffusionLoss:
    """Weigh, normalise and add the losses of masked tokens.

    Args:
        token_loss: (M,) from `masked_cross_entropy`, in the row-major order of `masked`.
        masked, eligible: (B, L) bool.
        spans: of the same (B, L).
        time_weight: w(t) of the token's sequence, (B, L) or broadcast to it. Not read if
            `weights.time` is "uniform".
        weights: see `LossWeights`.
        num_items: divide by these counts instead of this batch's own, as `count_items` gives them
            (or a scalar, where it gives one count).

    Returns:
        DiffusionLoss; a batch with nothing masked has total 0 (and still a gradient, of zeros).
    """
    coefficient = _coefficients(masked, eligible, spans, time_weight, weights, num_items)
    at_masked = _masked_indices(masked, token_loss.shape[0])
    total = (coefficient.flatten()[at_masked] * token_loss).sum()

    detached = token_loss.detach()
    is_response = spans.response.flatten()[at_masked]
    is_prompt = spans.prompt.flatten()[at_masked]
    prompt_count, response_count = is_prompt.sum(), is_response.sum()
    return DiffusionLoss(
        total=total,
        prompt=(detached * is_prompt).sum() / prompt_count.clamp(min=1),
        response=(detached * is_response).sum() / response_count.clamp(min=1),
        prompt_count=prompt_count,
        response_count=response_count,
    )


def _regions(spans: Spans, weights: LossWeights) -> tuple[Tensor, ...]:
    """The parts of the batch that have a count of their own, (B, L) bool each."""
    if weights.balance_regions:
        return ~spans.response, spans.response
    return (torch.ones_like(spans.response),)


def _coefficients(
    masked: Tensor,
    eligible: Tensor,
    spans: Spans,
    time_weight: Tensor,
    weights: LossWeights,
    num_items: Tensor | None,
) -> Tensor:
    """(B, L) float32: the factor with which each token's loss enters the total."""
    regions = _regions(spans, weights)
    if num_items is None:
        num_items = count_items(masked, eligible, spans, weights)
    items = num_items.to(masked.device).reshape(-1).clamp(min=1)
    if items.shape[0] != len(regions):
        raise ValueError(
            f"num_items has {items.shape[0]} counts, these weights need {len(regions)}: "
            "add up what count_items returns"
        )
    coefficient = torch.where(spans.response, float(weights.response), float(weights.prompt))
    if weights.time == "schedule":
        coefficient = coefficient * time_weight
    counted = masked if weights.time == "uniform" else eligible
    normaliser = torch.zeros_like(coefficient)
    for region, count in zip(regions, items, strict=True):
        share: Tensor | float = 1.0
        if weights.normalisation == "sequence":
            share = count_in_own_sequence(counted & region, spans.sequence).clamp(min=1)
        normaliser = torch.where(region, count * share, normaliser)
    return coefficient / normaliser


def _masked_indices(masked: Tensor, count: int) -> Tensor:
    """(count,) int64: flat indices of the masked tokens. Knowing the count spares a device sync."""
    if masked.device.type == "cpu":
        indices = masked.flatten().nonzero().squeeze(1)
        if indices.shape[0] != count:
            raise ValueError(
                f"token_loss has {count} entries for {indices.shape[0]} masked tokens: "
                "take both from the same `masked`, in row-major order"
            )
        return indices
    return torch.nonzero_static(masked.flatten(), size=count).squeeze(1)
