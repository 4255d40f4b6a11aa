"""Intervals for means of per-row scores; scipy does the resampling."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class Interval:
    """A mean with its bootstrap interval over ``n`` rows."""

    score: float
    low: float
    high: float
    n: int


def bootstrap_mean(
    values: Sequence[float], *, seed: int = 0, confidence: float = 0.95, resamples: int = 2000
) -> Interval:
    """Percentile bootstrap of the mean (scipy.stats.bootstrap).

    Rows that all agree resample to the same mean, so the interval is then a point; n tells how much
    that is worth.

    Raises:
        ValueError: no values, or one that is NaN or infinite.
    """
    from scipy import stats

    data = np.asarray(values, dtype=float)
    if data.size == 0:
        raise ValueError("bootstrap_mean needs at least one value")
    if not np.isfinite(data).all():
        raise ValueError("bootstrap_mean needs finite values")
    mean = float(data.mean())
    if data.size == 1 or np.all(data == data[0]):
        return Interval(mean, mean, mean, data.size)
    found = stats.bootstrap(
        (data,),
        np.mean,
        confidence_level=confidence,
        n_resamples=resamples,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return Interval(mean, float(found.low), float(found.high), data.size)
