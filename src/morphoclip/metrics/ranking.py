"""Where the true candidates of a query stand, ties counted: one compiled pass over a row.

The plain form of each number is in the tests, as a mean over all orders of the tied.
"""

from typing import Any, NamedTuple

import numpy as np
from numba import njit
from numpy.typing import NDArray

DECIMALS = 6
"""Similarities that agree so far are ties."""


class Ranking(NamedTuple):
    """Counts around the true candidates of each of Q queries.

    ``first`` is ``(Q, 3)``: how many candidates are better than the best true one, how many tie
    with it (itself among them), and how many of those are true. ``gains`` is ``(Q, K)``: for each
    of the first K places, the chance that a true candidate stands there times the precision
    expected then, over random orders of the tied.
    """

    first: NDArray[np.int64]
    gains: NDArray[np.float64]


def rank_candidates(
    similarity: NDArray[np.floating], relevant: NDArray[np.bool_], places: int
) -> Ranking:
    """Count, for each query, what ``Ranking`` holds.

    Args:
        similarity: Of queries to candidates, ``(Q, N)``; equal numbers are ties.
        relevant: Which candidates are true, ``(Q, N)``, at least one per query.
        places: K.
    """
    contiguous = np.ascontiguousarray(similarity), np.ascontiguousarray(relevant)
    return Ranking(*_ranked(*contiguous, places))


def expected_rank(
    similarity: NDArray[np.floating], of_true: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Rank of one candidate of each row, from 1; ties count as the mean over their orders.

    Args:
        similarity: Of queries to candidates, ``(Q, N)``.
        of_true: Similarity of each query to the candidate that is ranked, ``(Q,)``.
    """
    rows, true = np.round(similarity, DECIMALS), np.round(of_true, DECIMALS)[:, None]
    return np.asarray((rows > true).sum(axis=1) + ((rows == true).sum(axis=1) + 1) / 2)


@njit(cache=True, nogil=True)
def _ranked(similarity: Any, relevant: Any, places: int) -> Any:
    n_queries, n_candidates = similarity.shape
    first = np.zeros((n_queries, 3), np.int64)
    gains = np.zeros((n_queries, places))
    n_top = min(places, n_candidates)
    top = np.empty(n_top)
    counts = np.empty((n_top, 4), np.int64)
    for query in range(n_queries):
        row, true = similarity[query], relevant[query]
        _count_around_first_truth(row, true, first[query])
        _fill_top(row, top)
        _count_around_top(row, true, top, counts)
        for place in range(n_top):
            above, equal, true_above, true_equal = counts[place]
            others = (place - above) * max(true_equal - 1, 0) / max(equal - 1, 1)
            share = true_equal / equal
            gains[query, place] = share * (true_above + 1 + others) / (place + 1)
    return first, gains


@njit(cache=True, nogil=True)
def _count_around_first_truth(row: Any, true: Any, counted: Any) -> None:
    best = -np.inf
    for value, is_true in zip(row, true):  # noqa: B905 - numba knows no strict=
        if is_true and value > best:
            best = value
    for value, is_true in zip(row, true):  # noqa: B905
        counted[0] += value > best
        counted[1] += value == best
        counted[2] += (value == best) and is_true


@njit(cache=True, nogil=True)
def _fill_top(row: Any, top: Any) -> None:
    """The largest values of a row in falling order, repeats kept."""
    top[:] = -np.inf
    for value in row:
        place = top.size
        while place > 0 and value > top[place - 1]:
            place -= 1
        if place < top.size:
            for later in range(top.size - 1, place, -1):
                top[later] = top[later - 1]
            top[place] = value


@njit(cache=True, nogil=True)
def _count_around_top(row: Any, true: Any, top: Any, counts: Any) -> None:
    """For each of the top: candidates above and equal, and the true ones among them."""
    counts[:] = 0
    for value, is_true in zip(row, true):  # noqa: B905
        if value < top[-1]:
            continue
        for place in range(top.size):
            if value > top[place]:
                counts[place, 0] += 1
                counts[place, 2] += is_true
            elif value == top[place]:
                counts[place, 1] += 1
                counts[place, 3] += is_true
