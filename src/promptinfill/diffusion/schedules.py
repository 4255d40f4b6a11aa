"""Noise schedules: how much of a sequence is masked at time t, and how the loss weighs it.

At time t in (0, 1] each eligible token is masked with probability p(t) = 1 - alpha(t), and the
continuous-time bound weighs the cross-entropy of the masked tokens by

    w(t) = -alpha'(t) / (1 - alpha(t))

(MDLM, arXiv 2406.07524, the continuous-time bound; LLaDA, arXiv 2502.09992, has its linear case,
w = 1/t).

A new schedule is one entry in `SCHEDULES`.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from promptinfill.diffusion.noise import Stream, uniform
from promptinfill.errors import RecipeError

LOG_LINEAR_EPS = 1e-3


@dataclass(frozen=True)
class Schedule:
    """alpha falls from 1 (clean) to about 0 (all masked); both functions are elementwise."""

    name: str
    alpha: Callable[[Tensor], Tensor]
    alpha_prime: Callable[[Tensor], Tensor]

    def mask_rate(self, t: Tensor) -> Tensor:
        """p(t) = 1 - alpha(t): probability that an eligible token is masked; shape of `t`."""
        return 1 - self.alpha(t)

    def weight(self, t: Tensor) -> Tensor:
        """w(t) = -alpha'(t) / (1 - alpha(t)), the weight of the loss at t > 0; shape of `t`."""
        return -self.alpha_prime(t) / self.mask_rate(t)


_HALF_PI = math.pi / 2

SCHEDULES: dict[str, Schedule] = {
    schedule.name: schedule
    for schedule in (
        # LLaDA: p(t) = t.
        Schedule("linear", lambda t: 1 - t, lambda t: -torch.ones_like(t)),
        # MD4 (arXiv 2406.04329): p(t) = cos(pi/2 (1 - t)), more time at high mask rates.
        Schedule(
            "cosine",
            lambda t: 1 - torch.cos(_HALF_PI * (1 - t)),
            lambda t: -_HALF_PI * torch.sin(_HALF_PI * (1 - t)),
        ),
        # MDLM: alpha = exp(-sigma(t)), sigma(t) = -log(1 - (1 - eps) t), kept in its own form.
        Schedule(
            "log_linear",
            lambda t: torch.exp(torch.log1p(-(1 - LOG_LINEAR_EPS) * t)),
            lambda t: torch.full_like(t, -(1 - LOG_LINEAR_EPS)),
        ),
    )
}


def get_schedule(name: str) -> Schedule:
    """The schedule called `name`; RecipeError lists the known ones."""
    try:
        return SCHEDULES[name.replace("-", "_")]
    except KeyError:
        known = ", ".join(SCHEDULES)
        raise RecipeError(f"unknown noise schedule {name!r}: choose one of {known}") from None


def sample_times(keys: Tensor, eps: float = 1e-3, stratified: bool = False) -> Tensor:
    """Draw one time per key, uniform in (eps, 1].

    Args:
        keys: int64; one key per sequence. Without `stratified` any shape goes, so keys given per
            token (B, L) yield times per token, equal within each sequence.
        eps: lower end; bounds w(t) (1/eps for the linear schedule). 0 is allowed.
        stratified: spread the N times evenly, t = (u + i/N) mod 1 with one u for the batch (MDLM's
            low-variance sampler); each time is still uniform. Which sequence gets which i is drawn
            from the keys, so times do not follow the order of the batch; but they do depend on
            which sequences share it. Needs keys (N,).

    Returns:
        float32, the shape of `keys`.
    """
    if not 0 <= eps < 1:
        raise RecipeError(f"eps is {eps}: the smallest time must be at least 0 and below 1")
    u = uniform(keys, Stream.TIME)
    if stratified:
        if keys.ndim != 1:
            raise ValueError(f"stratified times need keys (N,), one per sequence; got {keys.shape}")
        rank = u.argsort(stable=True).argsort()
        offset = uniform(keys.sum(), Stream.STRATUM)
        u = (offset + rank / max(len(keys), 1)) % 1
    return 1 - u * (1 - eps)
