"""Likelihood estimates: Monte-Carlo lower bounds of log p(some tokens | the others).

Two estimators of one bound, log p(x_E | rest) >= bound, for the n eligible tokens E:

    "time"   E_t E_mask [ w(t) * sum over masked i of log p(x_i | x_t) ]           MDLM
    "count"  E_k E_S    [ n/k  * sum over i in S of log p(x_i | x without S) ]     LLaDA

with k uniform in 1..n and S a random k of the n tokens. Integrating w(t) over t turns the first
into the second, for any model (arXiv 2406.03736). "count" always masks something and its weights
stay at or below n: prefer it. Both are exact, not only bounds, if the model's conditionals are
those of one distribution.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from promptinfill.diffusion.masking import Spans
from promptinfill.diffusion.noise import Stream, derive_key, uniform
from promptinfill.diffusion.objective import masked_cross_entropy
from promptinfill.diffusion.sampling import Predict
from promptinfill.diffusion.schedules import SCHEDULES, Schedule
from promptinfill.errors import PromptInfillError

Method = Literal["count", "time"]


@dataclass(frozen=True)
class Estimate:
    """A bound per row, in nats."""

    mean: Tensor
    """(B,) float64: unbiased estimate of the lower bound of log p; 0 for a row without eligible
    tokens."""
    standard_error: Tensor
    """(B,) float64: spread of the draws / sqrt(samples), as for independent draws; stratified ones
    as a rule do better. inf for a single draw."""
    samples: int
    draws: Tensor
    """(B, samples) float64: the draws themselves. Under keys shared by rows with equally many
    eligible tokens, draw s masks the same of them in each row."""

    def difference(self, row: int, other: int) -> tuple[float, float]:
        """Mean and standard error of `row` less `other`, paired draw by draw.

        Rows that share keys (say, one answer under two prompts) share masks, and what a mask makes
        hard it makes hard for both: the difference is told from far fewer draws than two separate
        estimates would need.
        """
        paired = self.draws[row] - self.draws[other]
        spread = float(paired.std()) if self.samples > 1 else float("inf")
        return float(paired.mean()), spread / self.samples**0.5


def elbo(
    predict: Predict,
    tokens: Tensor,
    eligible: Tensor,
    *,
    mask_token_id: int,
    keys: Tensor,
    samples: int = 128,
    method: Method = "count",
    schedule: Schedule = SCHEDULES["linear"],
    stratified: bool = True,
    antithetic: bool = False,
    rows_per_call: int = 64,
) -> Estimate:
    """Estimate a lower bound of log p(eligible tokens | the other tokens), for each row.

    Args:
        predict: as in `sampling.Predict`; `rows` holds each row's index in `tokens`, repeated over
            its draws. Called under `torch.inference_mode`.
        tokens: (B, L) int64, clean; one sequence per row.
        eligible: (B, L) bool.
        mask_token_id: what masked tokens become.
        keys: (B,) int64: a row's draws depend on its key and length alone, not on the batch.
        samples: draws per row.
        method: "count" or "time", see the module's docstring.
        schedule: read by "time" only. Any gives the same bound; log_linear stops at mask rate
            1 - 1e-3 and so leaves out that much of its integral.
        stratified: spread a row's times or counts evenly over its draws (one random offset).
        antithetic: draws 2i and 2i + 1 order the eligible tokens by opposite noise: what one
            masks, the other tends to show.
        rows_per_call: rows per call of `predict`; does not change the result.

    Raises:
        PromptInfillError: `samples` or `rows_per_call` below 1, or an unknown method.
    """
    if samples < 1 or rows_per_call < 1:
        raise PromptInfillError(
            f"samples is {samples} and rows_per_call {rows_per_call}: both must be at least 1"
        )
    if method not in ("count", "time"):
        raise PromptInfillError(f"unknown likelihood method {method!r}: choose count or time")
    if eligible.shape != tokens.shape or keys.shape != tokens.shape[:1]:
        raise ValueError(
            f"tokens {tuple(tokens.shape)} need eligible of that shape and one key per row; got "
            f"{tuple(eligible.shape)} and {tuple(keys.shape)}"
        )
    with torch.inference_mode():
        values = torch.zeros(len(tokens) * samples, dtype=torch.float64, device=tokens.device)
        for row, draw in _blocks(len(tokens), samples, rows_per_call, tokens.device):
            if method == "count":
                masked, weight = _mask_by_count(
                    eligible[row],
                    keys[row],
                    draw,
                    samples,
                    stratified=stratified,
                    antithetic=antithetic,
                )
            else:
                masked, weight = _mask_by_time(
                    eligible[row],
                    keys[row],
                    draw,
                    samples,
                    schedule,
                    stratified=stratified,
                    antithetic=antithetic,
                )
            log_probs = _masked_log_probs(predict, tokens, row, masked, mask_token_id)
            values[row * samples + draw] = weight * log_probs
        table = values.view(len(tokens), samples)
        spread = table.std(dim=1) if samples > 1 else torch.full_like(table[:, 0], torch.inf)
        return Estimate(table.mean(dim=1), spread / samples**0.5, samples, table)


def conditional_log_likelihood(
    predict: Predict,
    tokens: Tensor,
    spans: Spans,
    *,
    mask_token_id: int,
    keys: Tensor,
    samples: int = 128,
    rows_per_call: int = 64,
) -> Estimate:
    """log p(response | prompt), bounded from below by `elbo` with method "count".

    `spans` as in training, with one sequence per row; the other arguments as in `elbo`.
    """
    return elbo(
        predict,
        tokens,
        spans.response,
        mask_token_id=mask_token_id,
        keys=keys,
        samples=samples,
        rows_per_call=rows_per_call,
    )


def _blocks(
    rows: int, samples: int, size: int, device: torch.device
) -> Iterator[tuple[Tensor, Tensor]]:
    """Every (row, draw) pair, `size` at a time."""
    for start in range(0, rows * samples, size):
        pair = torch.arange(start, min(start + size, rows * samples), device=device)
        yield pair // samples, pair % samples


def _spread(keys: Tensor, draw: Tensor, samples: int, *, stratified: bool) -> Tensor:
    """(R,) float64 in [0, 1): the variable that sets each draw's mask rate."""
    if not stratified:
        return uniform(keys, Stream.TIME, draw).double()
    return (uniform(keys, Stream.TIME).double() + draw / samples) % 1


def _mask_by_count(
    eligible: Tensor,
    keys: Tensor,
    draw: Tensor,
    samples: int,
    *,
    stratified: bool,
    antithetic: bool,
) -> tuple[Tensor, Tensor]:
    """Mask exactly k eligible tokens, k uniform in 1..n; returns masked (R, L), n/k (R,)."""
    available = eligible.sum(dim=1)
    u = _spread(keys, draw, samples, stratified=stratified)
    count = 1 + torch.minimum((u * available).long(), available - 1)
    noise = torch.where(
        eligible, _noise(eligible, keys, draw, antithetic=antithetic), 2.0
    )  # the others rank last
    rank = noise.argsort(dim=1, stable=True).argsort(dim=1)
    masked = eligible & (rank < count[:, None])
    return masked, available.double() / count.clamp(min=1)


def _mask_by_time(
    eligible: Tensor,
    keys: Tensor,
    draw: Tensor,
    samples: int,
    schedule: Schedule,
    *,
    stratified: bool,
    antithetic: bool,
) -> tuple[Tensor, Tensor]:
    """Mask eligible tokens at rate p(t), t uniform in (0, 1]; returns masked (R, L), w(t) (R,)."""
    t = 1 - _spread(keys, draw, samples, stratified=stratified)
    masked = eligible & (
        _noise(eligible, keys, draw, antithetic=antithetic) < schedule.mask_rate(t)[:, None]
    )
    return masked, schedule.weight(t)


def _noise(eligible: Tensor, keys: Tensor, draw: Tensor, *, antithetic: bool) -> Tensor:
    """(R, L) uniforms, by the token's number among the row's eligible ones: padding, on either
    side, changes nothing."""
    number = eligible.cumsum(dim=1)
    pair = draw // 2 if antithetic else draw
    noise = uniform(derive_key(keys, Stream.DRAW, pair)[:, None], Stream.NOISE, number)
    if not antithetic:
        return noise
    # The largest uniform is 1 - 2**-24: the mirror image has the same values.
    return torch.where((draw % 2 == 1)[:, None], 1 - 2.0**-24 - noise, noise)


def _masked_log_probs(
    predict: Predict, tokens: Tensor, row: Tensor, masked: Tensor, mask_token_id: int
) -> Tensor:
    """(R,) float64: sum of log p(x_i | x_t) over the masked tokens of each row."""
    totals = torch.zeros(len(row), dtype=torch.float64, device=tokens.device)
    busy = masked.any(dim=1).nonzero().squeeze(1)
    if len(busy) == 0:
        return totals
    row, masked, clean = row[busy], masked[busy], tokens[row[busy]]
    logits = predict(torch.where(masked, mask_token_id, clean), row, masked)
    log_probs = torch.zeros_like(clean, dtype=torch.float64)
    log_probs[masked] = -masked_cross_entropy(logits, clean[masked]).double()
    totals[busy] = log_probs.sum(dim=1)
    return totals
