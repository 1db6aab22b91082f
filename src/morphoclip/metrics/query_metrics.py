"""Metrics of queries that rank candidates, a block of queries at a time."""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morphoclip.metrics.chance import CUTOFFS, first_rank_metrics
from morphoclip.metrics.matrix import Matrix
from morphoclip.metrics.ranking import DECIMALS, rank_candidates

SIMILARITIES_AT_A_TIME = 2**24
"""Of queries to candidates: 128 MiB."""


class Block(NamedTuple):
    """Queries that rank the same candidates: similarities and truths, both ``(Q, N)``."""

    similarity: Matrix
    relevant: NDArray[np.bool_]


class Side(NamedTuple):
    """Queries or candidates: vectors ``(N, E)``, what each is of and its modality, ``(N,)``."""

    vectors: Matrix
    group: NDArray[np.int64]
    modality: NDArray[np.str_]

    def among(self, candidates: "Side") -> Iterator[tuple[NDArray[np.int64], Block]]:
        """Some queries at a time, by their rows, with their similarities to all candidates."""
        at_a_time = max(1, SIMILARITIES_AT_A_TIME // max(len(candidates.vectors), 1))
        transposed = candidates.vectors.T.astype(np.float64)
        for start in range(0, len(self.vectors), at_a_time):
            rows = np.arange(start, min(start + at_a_time, len(self.vectors)))
            similarity = np.round(self.vectors[rows].astype(np.float64) @ transposed, DECIMALS)
            relevant = self.group[rows, None] == candidates.group[None, :]
            yield rows, Block(similarity, relevant)


class Measured(NamedTuple):
    """Metrics of every query: among all candidates, and among those of its own modality."""

    among_all: pd.DataFrame
    within_modality: pd.DataFrame


def measured_queries(queries: Side, candidates: Side) -> Measured:
    """`query_metrics` of all queries; similarities of some of them are held at a time."""
    among_all, within = [], []
    is_one = len({*queries.modality, *candidates.modality}) == 1
    for rows, block in queries.among(candidates):
        among_all.append(query_metrics(block).set_axis(rows))
        if is_one:
            within.append(among_all[-1])
            continue
        for name in np.unique(queries.modality[rows]):
            own = np.flatnonzero(queries.modality[rows] == name)
            pairs = np.ix_(own, np.flatnonzero(candidates.modality == name))
            part = Block(block.similarity[pairs], block.relevant[pairs])
            within.append(query_metrics(part).set_axis(rows[own]))
    return Measured(pd.concat(among_all), pd.concat(within).sort_index())


def query_metrics(block: Block) -> pd.DataFrame:
    """Recall@k, reciprocal rank, AP@k and rank of the first truth, one row per query.

    A rank is the expected one; queries without a truth among the candidates must not be given.

    Raises:
        ValueError: A query has no truth.
    """
    n_true = block.relevant.sum(axis=1)
    if (n_true == 0).any():
        raise ValueError("a query without a true candidate has no rank")
    ranking = rank_candidates(block.similarity, block.relevant, max(CUTOFFS))
    kinds, kind_of_query = np.unique(ranking.first, axis=0, return_inverse=True)
    firsts = pd.DataFrame([first_rank_metrics(*map(int, kind)) for kind in kinds])
    precision = {
        f"map@{k}": ranking.gains[:, :k].sum(axis=1) / np.minimum(n_true, k) for k in CUTOFFS
    }
    return firsts.iloc[kind_of_query].reset_index(drop=True).assign(**precision)
