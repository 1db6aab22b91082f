"""How often controls are as similar to a query as a candidate, and what many candidates make of it.

The null: a candidate's wells are wells of negative controls of its own condition, which no
normalisation was fitted on. Wells of one plate are not independent, and treatments differ from
controls in ways that have nothing to do with the query, so that a small q says "unlike controls",
not "like the query for a reason".
"""

from collections.abc import Sequence
from typing import NamedTuple, Self

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_array

from morphoclip.metrics.matrix import unit_rows

FEWEST_CONTROLS = 8
"""With fewer control wells there is no p."""
DRAWS = 10_000
"""Draws of as many control wells as a treatment has."""
DRAWS_OF_TEXTS = 2_000
_SEED = 0


def p_of_wells(
    similarity: NDArray[np.floating], of_controls: NDArray[np.floating]
) -> NDArray[np.float64]:
    """Of each similarity ``(B,)`` the share of controls ``(K,)`` that are at least as similar.

    ``(1 + how many) / (1 + K)`` (North et al. 2002, doi:10.1086/341527); NaN with fewer than eight.
    """
    if len(of_controls) < FEWEST_CONTROLS:
        return np.full(len(similarity), np.nan)
    ordered = np.sort(of_controls)
    at_least = len(ordered) - np.searchsorted(ordered, similarity, side="left")
    return np.asarray((1 + at_least) / (1 + len(ordered)))


def p_of_means(
    similarity: NDArray[np.floating],
    n_wells: NDArray[np.integer],
    of_controls: NDArray[np.floating],
) -> NDArray[np.float64]:
    """The same for means over ``n_wells`` ``(G,)`` wells, against means of as many controls.

    One well alone is compared with each control; several with 10,000 draws of controls with
    replacement. NaN with fewer than eight controls.
    """
    p = np.full(len(similarity), np.nan)
    if len(of_controls) < FEWEST_CONTROLS:
        return p
    rng = np.random.default_rng(_SEED)
    for number in np.unique(n_wells):
        chosen = n_wells == number
        null = of_controls
        if number > 1:
            null = np.zeros(DRAWS)
            for _ in range(number):  # in turn: many wells at once would take much memory
                null += of_controls[rng.integers(len(of_controls), size=DRAWS)]
            null /= number
        p[chosen] = p_of_wells(similarity[chosen], null)
    return p


def p_of_texts(
    similarity: NDArray[np.floating],
    n_wells: int,
    controls: NDArray[np.floating],
    texts: NDArray[np.floating],
) -> NDArray[np.float64]:
    """P of the unit vector of a mean over ``n_wells`` wells to each of T texts ``(T,)``.

    The null is the unit vector of the mean of as many controls; the same 2,000 draws serve all
    texts.

    Args:
        similarity: Of the unit vector to each text.
        n_wells: Wells that it is the mean of.
        controls: Unit vectors of control wells, ``(K, E)``.
        texts: Unit vectors of texts, ``(T, E)``.
    """
    n_controls = len(controls)
    if n_controls < FEWEST_CONTROLS:
        return np.full(len(texts), np.nan)
    drawn = controls
    if n_wells > 1:
        rows = np.random.default_rng(_SEED).integers(n_controls, size=(DRAWS_OF_TEXTS, n_wells))
        starts = np.arange(0, rows.size + 1, n_wells)
        shape = (DRAWS_OF_TEXTS, n_controls)
        drawn = unit_rows(
            csr_array((np.ones(rows.size, controls.dtype), rows.ravel(), starts), shape=shape)
            @ controls
        )
    null = drawn @ texts.T
    return np.asarray((1 + (null >= similarity).sum(axis=0)) / (1 + len(null)))


class Levels(NamedTuple):
    """The L values of p that there are, ascending, and how many wells have each; both ``(L,)``."""

    p: NDArray[np.float64]
    n_wells: NDArray[np.int64]

    @classmethod
    def of(cls, similarity: NDArray[np.floating], of_controls: NDArray[np.floating]) -> Self:
        """Of all wells ``(B,)`` against K controls (L = K + 1), by sorting similarities once."""
        n_controls = len(of_controls)
        p = (1 + np.arange(n_controls + 1)) / (1 + n_controls)
        largest_first = np.sort(of_controls)[::-1]
        at_most = np.searchsorted(np.sort(similarity), largest_first, side="right")
        n_so_far = np.append(len(similarity) - at_most, len(similarity))
        return cls(p, np.diff(n_so_far, prepend=0))


def q_values(p: NDArray[np.float64]) -> NDArray[np.float64]:
    """False discovery rates by Benjamini and Hochberg 1995 over all finite p; NaN elsewhere."""
    finite = np.isfinite(p)
    values, counts = np.unique(p[finite], return_counts=True)
    return q_of_levels(p, [Levels(values, counts)])


def q_of_levels(p: NDArray[np.float64], levels: Sequence[Levels]) -> NDArray[np.float64]:
    """False discovery rates of some p over all wells, of which the levels say how many have which.

    NaN where p is.
    """
    q = np.full(len(p), np.nan)
    finite = np.isfinite(p)
    if not finite.any():
        return q
    values, place = np.unique(np.concatenate([one.p for one in levels]), return_inverse=True)
    counts = np.bincount(place, np.concatenate([one.n_wells for one in levels]))
    n_so_far = np.cumsum(counts)
    raw = np.where(counts > 0, values * n_so_far[-1] / np.maximum(n_so_far, 1), np.inf)
    lowest = np.minimum(np.minimum.accumulate(raw[::-1])[::-1], 1)
    q[finite] = lowest[np.searchsorted(values, p[finite])]
    return q
