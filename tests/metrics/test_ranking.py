"""Ranks and precisions against a literal oracle: the mean over all orders of the tied."""

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morphoclip.metrics.ranking import DECIMALS, expected_rank, rank_candidates


def orders_of(scores: np.ndarray) -> list[np.ndarray]:
    """Candidates from best to worst, once for every way to break the ties."""
    tie_breakers = permutations(range(len(scores)))
    return [np.lexsort((np.array(breaker), -scores)) for breaker in tie_breakers]


@st.composite
def queries(draw: st.DrawFn, n_queries: int = 1) -> tuple[np.ndarray, np.ndarray]:
    """Similarities with many ties, and which candidates are true, at least one a query."""
    n = draw(st.integers(1, 6))
    shape = st.lists(st.integers(-1, 2), min_size=n, max_size=n)
    truths = st.lists(st.booleans(), min_size=n, max_size=n).filter(any)
    scores = [draw(shape) for _ in range(n_queries)]
    relevant = [draw(truths) for _ in range(n_queries)]
    return np.array(scores, dtype=np.float64), np.array(relevant)


@given(query=queries(), places=st.integers(1, 8))
def test_gains_are_the_mean_over_all_orders_of_the_tied(
    query: tuple[np.ndarray, np.ndarray], places: int
) -> None:
    similarity, relevant = query
    n = similarity.shape[1]
    expected = np.zeros(places)
    ranked = np.array([relevant[0][order] for order in orders_of(similarity[0])])
    precision = np.cumsum(ranked, axis=1) / np.arange(1, n + 1)
    shown = min(n, places)
    expected[:shown] = (ranked * precision).mean(axis=0)[:shown]
    gains = rank_candidates(similarity, relevant, places).gains
    assert gains.shape == (1, places)
    np.testing.assert_allclose(gains[0], expected, atol=1e-12)


@given(query=queries())
def test_the_first_truth_is_counted_as_the_mean_over_all_orders_has_it(
    query: tuple[np.ndarray, np.ndarray],
) -> None:
    similarity, relevant = query
    better, tied, true = rank_candidates(similarity, relevant, 1).first[0].tolist()
    firsts = [int(np.argmax(relevant[0][order])) + 1 for order in orders_of(similarity[0])]
    assert min(firsts) == better + 1
    assert max(firsts) == better + tied - true + 1
    assert np.mean(firsts) == pytest.approx(better + (tied + 1) / (true + 1))


@given(query=queries(n_queries=3))
def test_queries_are_ranked_apart_however_they_lie_in_memory(
    query: tuple[np.ndarray, np.ndarray],
) -> None:
    similarity, relevant = query
    together = rank_candidates(np.asfortranarray(similarity), np.asfortranarray(relevant), 4)
    alone = [rank_candidates(similarity[[q]], relevant[[q]], 4) for q in range(3)]
    assert together.first.tolist() == [one.first[0].tolist() for one in alone]
    assert together.gains.tolist() == [one.gains[0].tolist() for one in alone]


def test_a_toy_by_hand() -> None:
    similarity = np.array([[0.9, 0.5, 0.5, 0.1]])
    relevant = np.array([[False, True, False, True]])
    ranking = rank_candidates(similarity, relevant, 4)
    assert ranking.first.tolist() == [[1, 2, 1]]
    # the first truth stands second or third, half of the time each; the other is always fourth
    assert ranking.gains[0] == pytest.approx([0, 1 / 2 * 1 / 2, 1 / 2 * 1 / 3, 2 / 4])


def test_without_ties_a_gain_is_the_precision_where_a_truth_stands() -> None:
    similarity = np.array([[4.0, 3.0, 2.0, 1.0]])
    gains = rank_candidates(similarity, np.array([[True, False, True, False]]), 4).gains
    assert gains.tolist() == [[1, 0, 2 / 3, 0]]


def test_where_everything_ties_every_place_has_its_share_of_truths() -> None:
    relevant = np.array([[True, False, False, False, False]])
    ranking = rank_candidates(np.zeros((1, 5)), relevant, 5)
    assert ranking.first.tolist() == [[0, 5, 1]]
    assert ranking.gains[0] == pytest.approx([1 / 5 / place for place in range(1, 6)])


@given(query=queries(), which=st.integers(0, 5))
def test_an_expected_rank_is_the_mean_over_all_orders(
    query: tuple[np.ndarray, np.ndarray], which: int
) -> None:
    similarity, _ = query
    candidate = which % similarity.shape[1]
    places = [int(np.flatnonzero(o == candidate)[0]) + 1 for o in orders_of(similarity[0])]
    assert expected_rank(similarity, similarity[:, candidate]) == pytest.approx([np.mean(places)])


def test_similarities_that_agree_to_six_decimals_tie_in_an_expected_rank() -> None:
    assert DECIMALS == 6
    similarity = np.array([[0.5, 0.5 + 1e-7, 0.1], [0.5, 0.5 + 1e-5, 0.1]])
    assert expected_rank(similarity, similarity[:, 0]).tolist() == [1.5, 2]
