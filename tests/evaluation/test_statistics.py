"""Bootstrap intervals of a mean."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from promptinfill.evaluation.statistics import Interval, bootstrap_mean

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
