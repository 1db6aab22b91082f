"""Whether matches and others are equally similar: copairs then counts them all as matches."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from morphoclip.metrics.matrix import Matrix, unit_rows
from morphoclip.metrics.ranking import DECIMALS

MOST_TIED = 0.05
"""Share of pairs of a query's match and something else that may be equal to six digits."""
_MOST_QUERIES = 1000
_SIMILARITIES_AT_A_TIME = 2**26
_ROWS_AT_A_TIME = 2**16


class Tied:
    """In place of scores: ties would decide them."""


TIED = Tied()


class Pairs(NamedTuple):
    """Which of N rows match each of Q queries, and which stand against the matches, ``(Q, N)``."""

    matches: NDArray[np.bool_]
    others: NDArray[np.bool_]


PairsOf = Callable[[NDArray[np.int64]], Pairs]
"""The pairs of the queries with these row numbers ``(Q,)``."""


def ties_decide(
    matrix: Matrix, queries: NDArray[np.int64], pairs_of: PairsOf, *, absolute: bool = False
) -> bool:
    """Whether too many matches of a query are as similar to it as what is no match.

    So it is where profiles are all alike, or orthogonal. Of many queries, a thousand are looked at.

    Args:
        matrix: Profiles ``(N, E)``.
        queries: Their row numbers.
        pairs_of: What matches each query, and what does not.
        absolute: Whether opposite profiles count as similar.
    """
    if len(queries) > _MOST_QUERIES:
        queries = queries[np.linspace(0, len(queries) - 1, _MOST_QUERIES).astype(int)]
    tied: list[float] = []
    at_a_time = max(1, _SIMILARITIES_AT_A_TIME // len(matrix))
    for start in range(0, len(queries), at_a_time):
        some = queries[start : start + at_a_time]
        similarity = _cosines(matrix, some)
        if absolute:
            np.abs(similarity, out=similarity)
        np.round(similarity, DECIMALS, out=similarity)
        pairs = pairs_of(some)
        tied += [
            _share_of_ties(row[matches], row[others])
            for row, matches, others in zip(similarity, pairs.matches, pairs.others, strict=True)
            if matches.any() and others.any()
        ]
    return bool(np.mean(tied) > MOST_TIED) if tied else False


def _cosines(matrix: Matrix, rows: NDArray[np.int64]) -> NDArray[np.float64]:
    """Of some rows to all, ``(Q, N)``, in double precision, of some of N at a time."""
    asked = unit_rows(matrix[rows].astype(np.float64))
    found = np.empty((len(rows), len(matrix)))
    for start in range(0, len(matrix), _ROWS_AT_A_TIME):
        block = slice(start, start + _ROWS_AT_A_TIME)
        found[:, block] = asked @ unit_rows(matrix[block].astype(np.float64)).T
    return found


def _share_of_ties(matches: Matrix, others: Matrix) -> float:
    ordered = np.sort(others)
    counts = np.searchsorted(ordered, matches, "right") - np.searchsorted(ordered, matches, "left")
    return float(counts.mean() / len(others))
