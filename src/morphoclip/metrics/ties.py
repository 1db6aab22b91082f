"""Whether matches and others are equally similar: copairs then counts them all as matches."""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array

from morphoclip.metrics.matrix import Matrix, unit_rows
from morphoclip.metrics.ranking import DECIMALS

MOST_TIED = 0.05
"""Share of pairs of a query's match and something else that may be equal to six digits."""
_MOST_QUERIES = 1000


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
    unit = unit_rows(matrix.astype(np.float64))
    similarity = unit[queries] @ unit.T
    rounded = np.round(np.abs(similarity) if absolute else similarity, DECIMALS)
    pairs = pairs_of(queries)
    tied = [
        _share_of_ties(row[matches], row[others])
        for row, matches, others in zip(rounded, pairs.matches, pairs.others, strict=True)
        if matches.any() and others.any()
    ]
    return bool(np.mean(tied) > MOST_TIED) if tied else False


def _share_of_ties(matches: Matrix, others: Matrix) -> float:
    ordered = np.sort(others)
    counts = np.searchsorted(ordered, matches, "right") - np.searchsorted(ordered, matches, "left")
    return float(counts.mean() / len(others))


def sharing(labels: pd.Series, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of all rows ``(N,)`` of lists of labels share one with these rows: ``(Q, N)``."""
    codes, names = pd.factorize(labels.explode().dropna(), sort=True)
    row_of = labels.reset_index(drop=True).explode().dropna().index.to_numpy()
    shape = (len(labels), max(len(names), 1))
    has = csr_array((np.ones(len(codes)), (row_of, codes)), shape=shape)
    return np.asarray((has[rows] @ has.T).toarray() > 0)
