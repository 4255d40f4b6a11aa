"""Intervals of means and differences, Holm's correction, several seeds."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from promptinfill.evaluation.statistics import (
    Interval,
    bootstrap_mean,
    bootstrap_statistic,
    holm,
    mean_over_seeds,
    paired_bootstrap,
    paired_p_value,
)

scores = st.lists(st.sampled_from([0.0, 0.25, 0.5, 1.0]), min_size=1, max_size=40)


@settings(max_examples=30)
@given(values=scores, seed=st.integers(0, 1000))
def test_the_interval_contains_the_mean_and_lies_within_the_data(values, seed):
    found = bootstrap_mean(values, seed=seed, resamples=500)
    assert found.score == pytest.approx(sum(values) / len(values))
    assert min(values) <= found.low <= found.score <= found.high <= max(values)
    assert found.n == len(values)


def test_it_is_scipys_percentile_bootstrap():
    values = np.random.default_rng(3).random(30)
    expected = stats.bootstrap(
        (values,),
        np.mean,
        confidence_level=0.9,
        n_resamples=999,
        method="percentile",
        rng=np.random.default_rng(7),
    ).confidence_interval
    found = bootstrap_mean(list(values), seed=7, confidence=0.9, resamples=999)
    assert (found.low, found.high) == pytest.approx((expected.low, expected.high), abs=1e-12)


def test_it_agrees_with_the_normal_interval_on_much_data():
    values = np.random.default_rng(0).binomial(1, 0.7, 400).astype(float)
    found = bootstrap_mean(values)
    half = 1.96 * values.std() / np.sqrt(len(values))
    assert found.low == pytest.approx(found.score - half, abs=0.006)
    assert found.high == pytest.approx(found.score + half, abs=0.006)


def test_the_seed_decides_it():
    values = [0.0, 1.0, 1.0, 0.3, 0.9, 0.1, 0.6, 0.2]
    assert bootstrap_mean(values, seed=1) == bootstrap_mean(values, seed=1)
    assert bootstrap_mean(values, seed=1) != bootstrap_mean(values, seed=2)


def test_more_confidence_is_wider():
    values = np.random.default_rng(1).random(25)
    narrow, wide = (bootstrap_mean(values, confidence=c) for c in (0.5, 0.99))
    assert wide.low < narrow.low < narrow.high < wide.high


@pytest.mark.parametrize("values", [[1.0], [0.4], [1.0] * 7, [0.0] * 3])
def test_constant_data_gives_a_point(values):
    v = values[0]
    assert bootstrap_mean(values) == Interval(v, v, v, len(values))


@pytest.mark.parametrize("values", [[], [0.5, float("nan")], [float("inf"), 1.0]])
def test_no_values_and_values_that_are_no_numbers_are_errors(values):
    with pytest.raises(ValueError, match="bootstrap_mean needs"):
        bootstrap_mean(values)


# --- paired differences ---

paired = st.lists(st.tuples(st.sampled_from([0.0, 0.5, 1.0]), st.sampled_from([0.0, 0.5, 1.0])))


@settings(max_examples=30)
@given(rows=paired.filter(bool))
def test_a_paired_difference_changes_sign_with_its_sides(rows):
    a, b = zip(*rows, strict=True)
    found, back = paired_bootstrap(a, b, resamples=300), paired_bootstrap(b, a, resamples=300)
    assert found.score == pytest.approx(np.mean(a) - np.mean(b))
    assert (back.score, back.low, back.high) == pytest.approx(
        (-found.score, -found.high, -found.low), abs=1e-9
    )


def test_pairing_tells_apart_what_two_intervals_cannot():
    """Rows differ a lot, and b is always a little worse: only the paired interval sees it."""
    rows = np.random.default_rng(0).random(40)
    better, worse = list(rows), list(rows - 0.01 - 0.01 * np.linspace(0, 1, 40))
    assert bootstrap_mean(better).low < bootstrap_mean(worse).high
    assert paired_bootstrap(better, worse).low > 0
    assert paired_p_value(better, worse) < 0.001


def test_the_sign_flip_test_is_exact_on_few_rows():
    # Of the 2^5 flips of (1, 1, 1, 1, 1) two are as extreme as all plus.
    assert paired_p_value([1.0] * 5, [0.0] * 5) == pytest.approx(2 / 32)
    assert paired_p_value([1.0], [0.0]) == 1.0
    assert paired_p_value([0.3, 0.4], [0.3, 0.4]) == 1.0


def test_p_values_of_no_difference_are_uniform():
    rng = np.random.default_rng(5)
    found = [
        paired_p_value(rng.random(30), rng.random(30), seed=i, resamples=199) for i in range(200)
    ]
    assert np.mean(np.asarray(found) <= 0.2) == pytest.approx(0.2, abs=0.08)


@pytest.mark.parametrize("compare", [paired_bootstrap, paired_p_value])
def test_unpaired_scores_are_errors(compare):
    with pytest.raises(ValueError, match="the same rows: there are 2 and 3"):
        compare([0.0, 1.0], [0.0, 1.0, 1.0])


# --- Holm ---


def test_holm_by_hand():
    # Sorted 0.01, 0.02, 0.04 times 3, 2, 1, kept monotone.
    assert holm([0.04, 0.01, 0.02]) == pytest.approx([0.04, 0.03, 0.04])
    assert holm([0.9, 0.8]) == [1.0, 1.0]
    assert holm([0.03]) == [0.03]
    assert holm([]) == []


@settings(max_examples=20)
@given(st.lists(st.floats(0, 1), min_size=1, max_size=12))
def test_holm_lies_between_none_and_bonferroni(p_values):
    for p, adjusted in zip(p_values, holm(p_values), strict=True):
        assert p <= adjusted <= min(1.0, p * len(p_values)) + 1e-12


@pytest.mark.parametrize("bad", [[1.2], [-0.1, 0.5], [float("nan")]])
def test_holm_takes_p_values_only(bad):
    with pytest.raises(ValueError, match="between 0 and 1"):
        holm(bad)


# --- several seeds ---


def test_seeds_count_equally_whatever_their_rows():
    found = mean_over_seeds({0: [1.0] * 30, 1: [0.0] * 10})
    assert (found.score, found.n) == (0.5, 40)
    assert (found.low, found.high) == (0.0, 1.0)


def test_one_seed_is_the_bootstrap_of_its_rows():
    rows = [0.0, 1.0, 1.0, 0.5, 0.0]
    assert mean_over_seeds([rows]) == bootstrap_mean(rows)


def test_seeds_that_differ_widen_the_interval():
    rng = np.random.default_rng(0)
    alike = [list(rng.normal(0.5, 0.1, 50)) for _ in range(3)]
    apart = [[v + shift for v in rows] for rows, shift in zip(alike, (-0.2, 0, 0.2), strict=True)]
    one, other = mean_over_seeds(alike), mean_over_seeds(apart)
    assert one.score == pytest.approx(other.score)
    assert other.high - other.low > 3 * (one.high - one.low)
    assert mean_over_seeds(apart, seed=1) == mean_over_seeds(apart, seed=1)


def test_no_seeds_and_a_seed_without_rows_are_errors():
    with pytest.raises(ValueError, match="at least one seed"):
        mean_over_seeds([])
    with pytest.raises(ValueError, match="at least one value"):
        mean_over_seeds([[1.0], []])


# --- any statistic ---


def pearson(a, b):
    return stats.pearsonr(a, b).statistic


def test_the_interval_of_a_correlation_covers_it():
    rng = np.random.default_rng(0)
    x = rng.normal(size=200)
    y = x + rng.normal(size=200)
    found = bootstrap_statistic(pearson, x, y, resamples=300)
    assert found.score == pearson(x, y)
    assert 0.5 < found.low < found.score < found.high < 0.85


def test_resamples_without_a_value_are_left_out():
    found = bootstrap_statistic(pearson, [1.0, 2.0, 2.0], [1.0, 2.0, 3.0], resamples=100)
    assert np.isfinite([found.low, found.high]).all()
    with pytest.raises(ValueError, match="one length"):
        bootstrap_statistic(pearson, [1.0, 2.0], [1.0])
