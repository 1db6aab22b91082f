"""Draws of perturbations with replacement, and the intervals they give."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morphoclip.metrics import bootstrap
from morphoclip.metrics.bootstrap import Bootstrap, drawn_sums, interval_95, resampling_counts


@given(n=st.integers(1, 50), draws=st.integers(1, 30), seed=st.integers(0, 2**16))
def test_every_draw_has_as_many_perturbations_as_there_are(n: int, draws: int, seed: int) -> None:
    counts = resampling_counts(n, Bootstrap(draws, seed))
    assert counts.shape == (draws, n)
    assert (counts.sum(axis=1) == n).all()


def test_a_seed_draws_the_same_and_another_seed_draws_others() -> None:
    counts = resampling_counts(20, Bootstrap(draws=10, seed=3))
    assert np.array_equal(counts, resampling_counts(20, Bootstrap(draws=10, seed=3)))
    assert not np.array_equal(counts, resampling_counts(20, Bootstrap(draws=10, seed=4)))
    assert Bootstrap() == Bootstrap(draws=1000, seed=0)


def test_one_perturbation_is_drawn_every_time() -> None:
    assert resampling_counts(1, Bootstrap(draws=5)).tolist() == [[1]] * 5


def test_counts_are_those_of_a_multinomial() -> None:
    n = 10
    counts = resampling_counts(n, Bootstrap(draws=50_000))
    assert counts.mean(axis=0) == pytest.approx(np.ones(n), abs=0.02)
    covariance = np.cov(counts, rowvar=False)
    assert covariance == pytest.approx(np.eye(n) - 1 / n, abs=0.03)


def test_a_resampled_mean_spreads_as_the_standard_error() -> None:
    values = np.random.default_rng(1).standard_normal(40)
    means = drawn_sums(resampling_counts(40, Bootstrap(draws=20_000)), values) / 40
    assert means.mean() == pytest.approx(values.mean(), abs=0.01)
    assert means.std() == pytest.approx(values.std() / np.sqrt(40), rel=0.03)
    low, high = interval_95(means)
    assert high - low == pytest.approx(2 * 1.96 * values.std() / np.sqrt(40), rel=0.05)


def test_an_interval_leaves_a_fortieth_out_on_either_side_in_any_order() -> None:
    numbers = np.arange(1001) / 1000
    assert interval_95(numbers) == pytest.approx((0.025, 0.975))
    assert interval_95(np.random.default_rng(0).permutation(numbers)) == interval_95(numbers)


def test_an_interval_of_one_number_is_that_number() -> None:
    assert interval_95(np.full(7, 0.3)) == (0.3, 0.3)


def test_draws_a_few_at_a_time_are_those_of_all_at_once(monkeypatch) -> None:
    values = np.random.default_rng(2).standard_normal((9, 2))
    counts = resampling_counts(9, Bootstrap(draws=11, seed=4))
    monkeypatch.setattr(bootstrap, "_NUMBERS_AT_A_TIME", 20)
    assert np.array_equal(resampling_counts(9, Bootstrap(draws=11, seed=4)), counts)
    assert drawn_sums(counts, values) == pytest.approx(counts @ values)
