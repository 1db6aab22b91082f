"""Average precision of queries whose matches are ranked among what stands against them.

As copairs computes it, which the tests hold it against: matches and others in order of similarity,
equal ones matches first; ``AP = mean over the matches k = 1 to m of k / (k + others before it)``.
copairs lists every pair beforehand, 4.6 thousand million of 96,000 treatments; here a query's
others are counted against its matches some queries at a time.
"""

from collections.abc import Iterator
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numba import njit
from numpy.typing import NDArray
from scipy.sparse import csr_array

from morphoclip.metrics.matrix import Matrix, unit_rows

_AT_A_TIME = 2**24
"""Similarities, or comparisons of them: 128 MiB in double precision."""


class Precisions(NamedTuple):
    """Of N queries that have matches and others.

    Attributes:
        row: Row of each.
        label: What its matches share with it: the code of a label.
        value: Average precision.
        n_positive: Matches.
        n_total: Matches and others.
    """

    row: NDArray[np.int64]
    label: NDArray[np.int64]
    value: NDArray[np.float64]
    n_positive: NDArray[np.int64]
    n_total: NDArray[np.int64]

    def beside(self, table: pd.DataFrame) -> pd.DataFrame:
        """The rows of a table, with columns ``average_precision`` and numbers of pairs."""
        found = table.iloc[self.row].reset_index(drop=True)
        return found.assign(
            average_precision=self.value, n_pos_pairs=self.n_positive, n_total_pairs=self.n_total
        )


def replicate_precisions(
    matrix: Matrix,
    group: NDArray[np.int64],
    plate: NDArray[np.int64],
    *,
    queries: NDArray[np.bool_],
    others: NDArray[np.bool_],
) -> Precisions:
    """Wells of one group, on any plate, against other wells of each one's own plate.

    Args:
        matrix: Profiles, ``(B, E)``.
        group: Code of what is replicated, ``(B,)``; the label of the result.
        plate: Code of each well's plate, ``(B,)``.
        queries: Whose precision is asked for; wells of a group that are none are no matches either.
        others: Which stand against the matches, where they are of another group.
    """
    unit = unit_rows(matrix.astype(np.float32))
    against = _sorted_on_plates(unit, group, plate, queries, others)
    asked = np.flatnonzero(queries)
    order = asked[np.argsort(group[asked], kind="stable")]
    starts = np.flatnonzero(np.diff(group[order], prepend=-1))
    parts = [
        (rows, *_of_group(unit, rows, against))
        for rows in np.split(order, starts[1:])
        if len(rows) > 1
    ]
    if not parts:
        return _none()
    row = np.concatenate([rows for rows, _, _ in parts])
    value = np.concatenate([values for _, values, _ in parts])
    n_others = np.concatenate([counts for _, _, counts in parts])
    n_positive = np.concatenate([np.full(len(rows), len(rows) - 1) for rows, _, _ in parts])
    found = Precisions(row, group[row], value, n_positive, n_positive + n_others)
    return _where(found, n_others > 0)


class _Against(NamedTuple):
    """Similarities of each query to what stands against its matches, the largest first.

    Attributes:
        similarity: ``(Q, K)``, filled up with minus infinity.
        number: Of each query, ``(Q,)``.
        place: Row of ``similarity`` of each well, ``(B,)``.
    """

    similarity: NDArray[np.float32]
    number: NDArray[np.int64]
    place: NDArray[np.int64]


def _sorted_on_plates(
    unit: Matrix,
    group: NDArray[np.int64],
    plate: NDArray[np.int64],
    queries: NDArray[np.bool_],
    others: NDArray[np.bool_],
) -> _Against:
    place = np.full(len(unit), -1)
    place[queries] = np.arange(queries.sum())
    most = int(np.bincount(plate[others]).max()) if others.any() else 0
    similarity = np.full((int(queries.sum()), most), -np.inf, dtype=np.float32)
    number = np.zeros(len(similarity), dtype=np.int64)
    by_plate = np.argsort(plate, kind="stable")
    for rows in np.split(by_plate, np.flatnonzero(np.diff(plate[by_plate])) + 1):
        asked, against = rows[queries[rows]], rows[others[rows]]
        if not (len(asked) and len(against)):
            continue
        own = np.where(
            group[asked][:, None] == group[against], -np.inf, _cosines(unit[asked], unit[against])
        )
        similarity[place[asked], : len(against)] = -np.sort(-own, axis=1)
        number[place[asked]] = np.isfinite(own).sum(axis=1)
    return _Against(similarity, number, place)


def _of_group(
    unit: Matrix, rows: NDArray[np.int64], against: _Against
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Average precision and number of others of each well of one group."""
    n_matches = len(rows) - 1
    values = np.empty(len(rows))
    rank = np.arange(1, n_matches + 1)
    at_a_time = max(1, _AT_A_TIME // (n_matches * max(against.similarity.shape[1], 1)))
    for start in range(0, len(rows), at_a_time):
        some = np.arange(start, min(start + at_a_time, len(rows)))
        own = _cosines(unit[rows[some]], unit[rows])
        own[np.arange(len(some)), some] = -np.inf
        matches = -np.sort(-own, axis=1)[:, :n_matches]
        before = against.similarity[against.place[rows[some]]]
        n_before = (before[:, None, :] > matches[:, :, None]).sum(axis=2)
        values[some] = (rank / (rank + n_before)).mean(axis=1)
    return values, against.number[against.place[rows]]


def label_precisions(
    matrix: Matrix,
    has: csr_array,
    *,
    apart: NDArray[np.int64],
    absolute: bool = False,
) -> Precisions:
    """Rows that share a label, against those that share none: one value per row and label.

    Args:
        matrix: Profiles, ``(N, E)``.
        has: Which has which label, as `incidence` says.
        apart: A code of each, ``(N,)``: rows of one code are neither matches nor others of each
            other.
        absolute: Whether opposite profiles count as similar.
    """
    unit = unit_rows(matrix.astype(np.float32)).astype(np.float64)
    columns = has.tocsc()
    columns.sort_indices()
    together = np.argsort(apart, kind="stable")
    starts = np.searchsorted(apart[together], np.arange(int(apart.max(initial=-1)) + 2))
    value = np.empty(has.nnz)
    n_positive, n_others = np.zeros(has.nnz, np.int64), np.zeros(has.nnz, np.int64)
    for rows in _blocks(len(unit)):
        similarity = _cosines(unit[rows], unit)
        if absolute:
            np.abs(similarity, out=similarity)
        _count_of_labels(
            similarity,
            rows,
            (has.indptr, has.indices),
            (columns.indptr, columns.indices),
            (apart, starts, together),
            (value, n_positive, n_others),
        )
    row = np.repeat(np.arange(len(unit)), np.diff(has.indptr))
    found = Precisions(row, has.indices.astype(np.int64), value, n_positive, n_positive + n_others)
    in_order = np.lexsort((found.row, found.label))
    return _where(found, in_order[(n_positive > 0)[in_order] & (n_others > 0)[in_order]])


@njit(cache=True, nogil=True)
def _count_of_labels(
    similarity: Any, rows: Any, labels_of: Any, rows_of: Any, apart: Any, found: Any
) -> None:
    """For each label of each query, what `Precisions` holds.

    ``labels_of`` and ``rows_of`` are the pointers and indices of the incidence by row and by label,
    ``apart`` the codes, where each code starts among the rows in their order, and these rows.
    """
    for query in range(len(rows)):
        row, similar = rows[query], similarity[query]
        is_other = np.ones(len(similar), np.bool_)
        code = apart[0][row]
        for place in range(apart[1][code], apart[1][code + 1]):
            is_other[apart[2][place]] = False
        for place in range(labels_of[0][row], labels_of[0][row + 1]):
            label = labels_of[1][place]
            for member in range(rows_of[0][label], rows_of[0][label + 1]):
                is_other[rows_of[1][member]] = False
        for place in range(labels_of[0][row], labels_of[0][row + 1]):
            members = _comparable(rows_of, labels_of[1][place], apart[0], code)
            matches = np.sort(similar[members])[::-1]
            before = np.zeros(len(matches) + 1, np.int64)
            n_others = 0
            for candidate in range(len(similar)):
                if is_other[candidate]:
                    n_others += 1
                    before[_first_below(matches, similar[candidate])] += 1
            total, n_before = 0.0, 0
            for rank in range(1, len(matches) + 1):
                n_before += before[rank - 1]
                total += rank / (rank + n_before)
            found[0][place] = total / max(len(matches), 1)
            found[1][place], found[2][place] = len(matches), n_others


@njit(cache=True, nogil=True)
def _comparable(rows_of: Any, label: Any, codes: Any, code: Any) -> Any:
    """The rows of a label that are of other codes."""
    members = rows_of[1][rows_of[0][label] : rows_of[0][label + 1]]
    return members[codes[members] != code]


@njit(cache=True, nogil=True)
def _first_below(falling: Any, value: Any) -> int:
    """The place of the first of falling numbers that is less than a value."""
    low, high = 0, len(falling)
    while low < high:
        middle = (low + high) // 2
        if falling[middle] < value:
            high = middle
        else:
            low = middle + 1
    return low


def _cosines(one: Matrix, other: Matrix) -> NDArray[np.float32]:
    """Products of unit vectors, ``(len(one), len(other))``.

    In double precision, then rounded: products of equal rows in single precision differ in the last
    digit by where they lie, and would tie no longer.
    """
    products = one.astype(np.float64, copy=False) @ other.astype(np.float64, copy=False).T
    return np.asarray(products, dtype=np.float32)


def incidence(labels: pd.Series) -> csr_array:
    """Which of N lists hold which label, codes in order of the labels: ``(N, L)`` of 0 and 1."""
    each = labels.reset_index(drop=True).explode().dropna()
    codes, names = pd.factorize(each, sort=True)
    shape = (len(labels), max(len(names), 1))
    has = csr_array((np.ones(len(codes), np.float32), (each.index.to_numpy(), codes)), shape=shape)
    has.sort_indices()
    return has


def shared_labels(has: csr_array, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of all N share a label with these rows, ``(Q, N)``."""
    return np.asarray((has[rows] @ has.T).toarray() > 0)


def _blocks(n_rows: int) -> Iterator[NDArray[np.int64]]:
    at_a_time = max(1, _AT_A_TIME // max(n_rows, 1))
    for start in range(0, n_rows, at_a_time):
        yield np.arange(start, min(start + at_a_time, n_rows))


def _where(found: Precisions, rows: NDArray[np.generic]) -> Precisions:
    return Precisions(*(column[rows] for column in found))


def _none() -> Precisions:
    return Precisions(*(np.empty(0, dtype) for dtype in (int, int, float, int, int)))
