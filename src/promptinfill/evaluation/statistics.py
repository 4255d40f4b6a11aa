"""Intervals and tests for means of per-row scores; scipy and statsmodels do the statistics.

Differences are always paired: the same rows under both prompts (or models), row by row.
"""

import warnings
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Values = NDArray[np.float64]


@dataclass(frozen=True)
class Interval:
    """A mean, or a difference of means, with its bootstrap interval over ``n`` rows."""

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
    data = _finite(values, "bootstrap_mean")
    mean = float(data.mean())
    if data.size == 1 or np.all(data == data[0]):
        return Interval(mean, mean, mean, data.size)
    low, high = _bootstrap(
        (data,), np.mean, seed=seed, confidence=confidence, resamples=resamples, vectorized=True
    )
    return Interval(mean, low, high, data.size)


def paired_bootstrap(
    a: Sequence[float],
    b: Sequence[float],
    *,
    seed: int = 0,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """Interval of mean(a) - mean(b), where ``a[i]`` and ``b[i]`` are scores of the same row.

    Rows are resampled, and with each row both of its scores: the percentile bootstrap of the mean
    of the differences.

    Raises:
        ValueError: not equally many values, none, or one that is NaN or infinite.
    """
    return bootstrap_mean(_differences(a, b), seed=seed, confidence=confidence, resamples=resamples)


def paired_p_value(
    a: Sequence[float], b: Sequence[float], *, seed: int = 0, resamples: int = 9999
) -> float:
    """Two-sided p-value of "the scores of a row are exchangeable between a and b".

    A sign-flip permutation test of the mean difference (scipy.stats.permutation_test, samples);
    exact where there are fewer flips than ``resamples``. Equal scores throughout give 1.

    Raises:
        ValueError: as :func:`paired_bootstrap`.
    """
    from scipy import stats

    differences = np.asarray(_differences(a, b))
    if not differences.any():
        return 1.0
    if differences.size == 1:  # both of its two flips are as extreme as what was seen
        return 1.0
    found = stats.permutation_test(
        (differences,),
        lambda values, axis=-1: np.mean(values, axis=axis),
        permutation_type="samples",
        n_resamples=resamples,
        vectorized=True,
        rng=np.random.default_rng(seed),
    )
    return float(found.pvalue)


def holm(p_values: Sequence[float]) -> list[float]:
    """P-values adjusted for their number by Holm's step-down method (statsmodels), in order.

    An adjusted value at most 0.05 may be called significant whatever the others are: the chance of
    one false claim among all is then at most 0.05.

    Raises:
        ValueError: a value outside 0..1, or NaN.
    """
    from statsmodels.stats.multitest import multipletests

    if not len(p_values):
        return []
    data = np.asarray(p_values, dtype=float)
    if not ((data >= 0) & (data <= 1)).all():
        raise ValueError("holm needs p-values between 0 and 1")
    return [float(p) for p in multipletests(data, method="holm")[1]]


def mean_over_seeds(
    scores: Mapping[int, Sequence[float]] | Sequence[Sequence[float]],
    *,
    seed: int = 0,
    confidence: float = 0.95,
    resamples: int = 2000,
) -> Interval:
    """Mean over seeds and rows, with an interval that holds for new seeds and new rows.

    A two-level bootstrap (Davison & Hinkley 1997, section 3.8): seeds are drawn with replacement,
    then rows within each drawn seed. With one seed this is :func:`bootstrap_mean` of its rows,
    which says nothing about other seeds.

    Args:
        scores: per-row scores of each seed; seeds may have different numbers of rows, and count
            equally. Pass differences for a paired comparison.

    Returns:
        ``n`` is the number of rows of all seeds together.

    Raises:
        ValueError: no seed, a seed without rows, or a value that is NaN or infinite.
    """
    groups = list(scores.values()) if isinstance(scores, Mapping) else list(scores)
    data = [_finite(group, "mean_over_seeds") for group in groups]
    if not data:
        raise ValueError("mean_over_seeds needs at least one seed")
    if len(data) == 1:
        return bootstrap_mean(list(data[0]), seed=seed, confidence=confidence, resamples=resamples)
    total = sum(group.size for group in data)
    mean = float(np.mean([group.mean() for group in data]))
    rng = np.random.default_rng(seed)

    def resampled(drawn: Values) -> float:
        # scipy draws the seeds; the rows of each drawn seed are drawn here.
        chosen = (data[int(i)] for i in drawn)
        return float(np.mean([rng.choice(group, group.size).mean() for group in chosen]))

    low, high = _bootstrap(
        (np.arange(len(data)),),
        resampled,
        seed=seed,
        confidence=confidence,
        resamples=resamples,
        vectorized=False,
    )
    return Interval(mean, low, high, total)


def bootstrap_statistic(
    statistic: Callable[..., float],
    *columns: Sequence[float],
    seed: int = 0,
    confidence: float = 0.95,
    resamples: int = 1000,
) -> Interval:
    """Percentile bootstrap of any statistic of paired columns, for example a correlation.

    Rows are resampled with all their columns. Resamples on which the statistic is undefined (NaN,
    as the correlation of a constant) are left out.

    Raises:
        ValueError: columns of different lengths, no rows, or a value that is NaN or infinite.
    """
    from scipy import stats

    data = [_finite(column, "bootstrap_statistic") for column in columns]
    n = data[0].size
    if any(column.size != n for column in data):
        raise ValueError("bootstrap_statistic needs columns of one length")
    score = float(statistic(*data))
    if n == 1:  # scipy wants two rows; one resamples to itself
        return Interval(score, score, score, n)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)  # undefined on some resamples: expected
        drawn = stats.bootstrap(
            data,
            statistic,
            paired=True,
            vectorized=False,
            n_resamples=resamples,
            method="percentile",
            rng=np.random.default_rng(seed),
        ).bootstrap_distribution
    drawn = drawn[np.isfinite(drawn)]
    if not drawn.size:
        return Interval(score, score, score, n)
    tail = 100 * (1 - confidence) / 2
    low, high = np.percentile(drawn, [tail, 100 - tail])
    return Interval(score, float(low), float(high), n)


def _bootstrap(
    samples: tuple[Values, ...] | tuple[NDArray[np.int64], ...],
    statistic: Callable[..., object],
    *,
    seed: int,
    confidence: float,
    resamples: int,
    vectorized: bool,
) -> tuple[float, float]:
    from scipy import stats

    found = stats.bootstrap(
        samples,
        statistic,
        confidence_level=confidence,
        n_resamples=resamples,
        method="percentile",
        vectorized=vectorized,
        rng=np.random.default_rng(seed),
    ).confidence_interval
    return float(found.low), float(found.high)


def _finite(values: Sequence[float] | Values, who: str) -> Values:
    data = np.asarray(values, dtype=float)
    if data.size == 0:
        raise ValueError(f"{who} needs at least one value")
    if not np.isfinite(data).all():
        raise ValueError(f"{who} needs finite values")
    return data


def _differences(a: Sequence[float], b: Sequence[float]) -> list[float]:
    first, second = _finite(a, "paired comparison"), _finite(b, "paired comparison")
    if first.size != second.size:
        raise ValueError(
            f"paired scores must be of the same rows: there are {first.size} and {second.size}"
        )
    return list(first - second)
