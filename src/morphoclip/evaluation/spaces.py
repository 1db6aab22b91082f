"""The spaces that lie side by side in the profiles of a model of several members.

Each member, and the closed form beside them, has a space of its own; a similarity is their mean.
Where they disagree, an answer is uncertain.
"""

from collections.abc import Sequence
from itertools import groupby
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morphoclip.columns import EMBEDDING_PREFIX, embedding_columns, embeddings
from morphoclip.metrics.matrix import Matrix, unit_rows

_ROWS_AT_A_TIME = 2**16


class Spaces(NamedTuple):
    """Columns ``starts[n]`` to ``ends[n]`` of embeddings are space n, ``shares[n]`` its weight."""

    starts: NDArray[np.int64]
    ends: NDArray[np.int64]
    shares: NDArray[np.float64]

    @classmethod
    def of(cls, profiles: pd.DataFrame) -> Self:
        """Those of a table of profiles, by the names of its columns."""
        return cls.of_vectors(embedding_columns(profiles), embeddings(profiles))

    @classmethod
    def of_vectors(cls, columns: Sequence[str], vectors: Matrix) -> Self:
        """Those of vectors ``(B, E)`` whose dimensions have these names."""
        widths = np.array(space_widths(columns), dtype=np.int64)
        ends = np.cumsum(widths)
        starts = ends - widths
        squared = np.zeros(len(columns))
        for block in range(0, len(vectors), _ROWS_AT_A_TIME):
            some = np.asarray(vectors[block : block + _ROWS_AT_A_TIME], dtype=np.float64)
            squared += (some**2).sum(axis=0) / len(vectors)
        sums = np.add.reduceat(squared, starts) if len(squared) else squared
        return cls(starts, ends, sums / max(sums.sum(), 1e-12))

    def spread(self, queries: Matrix, candidates: Matrix) -> NDArray[np.float64]:
        """Standard deviation over spaces of each query's similarity to its candidate, ``(N,)``.

        NaN where there is one space.

        Args:
            queries: ``(N, E)``.
            candidates: Means of unit vectors, ``(N, E)``.
        """
        if len(self.starts) < 2:
            return np.full(len(queries), np.nan)
        similarities = [
            np.einsum("ne,ne->n", unit_rows(queries[:, start:end]), candidates[:, start:end])
            / np.sqrt(share)
            for start, end, share in zip(self.starts, self.ends, self.shares, strict=True)
        ]
        return np.std(similarities, axis=0, ddof=1)


def space_widths(columns: Sequence[str]) -> list[int]:
    """How many dimensions each space has: ``embedding_1_000`` is of the first of several."""
    names = [name.removeprefix(EMBEDDING_PREFIX).rpartition("_")[0] for name in columns]
    return [len(list(members)) for _, members in groupby(names)]
