"""The most similar rows of a large matrix: exact, a chunk at a time, without sorting all rows."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

CHUNK_ROWS = 65_536
"""Rows that are multiplied at a time: 128 MiB at 512 dimensions."""


class Closest(NamedTuple):
    """The k rows most similar to each query, the most similar first; ties by row number.

    Attributes:
        rows: ``(Q, k)``.
        similarity: ``(Q, k)`` float32.
    """

    rows: NDArray[np.int64]
    similarity: NDArray[np.float32]


def similarities(queries: NDArray[np.floating], matrix: NDArray[np.float32]) -> NDArray[np.float32]:
    """Products ``(Q, B)`` of queries ``(Q, E)`` with the rows of a matrix ``(B, E)``, in float32.

    The matrix may be mapped into memory: it is read once, in chunks, for all queries.
    """
    asked = np.ascontiguousarray(queries, dtype=np.float32)
    products = np.empty((len(asked), len(matrix)), dtype=np.float32)
    for start in range(0, len(matrix), CHUNK_ROWS):
        rows = matrix[start : start + CHUNK_ROWS]
        products[:, start : start + len(rows)] = (rows @ asked.T).T
    return products


def closest_of(similarity: NDArray[np.float32], k: int) -> Closest:
    """The k largest entries of each row of ``(Q, B)``."""
    n_queries, n_rows = similarity.shape
    k = min(k, n_rows)
    if k == 0:
        return Closest(np.empty((n_queries, 0), np.int64), np.empty((n_queries, 0), np.float32))
    found = np.empty((n_queries, k), dtype=np.int64)
    for query, row in enumerate(similarity):
        edge = np.partition(row, n_rows - k)[n_rows - k]
        candidates = np.flatnonzero(row >= edge)  # all ties of the last one are among them
        order = np.lexsort((candidates, -row[candidates]))[:k]
        found[query] = candidates[order]
    return Closest(found, np.take_along_axis(similarity, found, axis=1))
