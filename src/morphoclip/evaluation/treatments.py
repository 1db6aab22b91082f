"""Treatments of a condition beside its control wells: what queries are compared with.

A similarity is the mean cosine between a query and the wells of a treatment. ``z`` is that
similarity minus the mean similarity of the control wells of the same condition, in standard errors
of the difference. Wells of one plate are not independent, all treatments differ from controls in
some common ways, and the best of many candidates is always far out: ``z_expected_null`` is the z
expected at the same rank if no candidate differed from controls. z ranks and warns; it is no test.
``p`` is the share of draws of as many control wells that are as similar, ``q`` its false discovery
rate over the candidates.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, field, replace
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array
from scipy.special import ndtri

from morphoclip.columns import (
    BROAD_SAMPLE,
    CONDITION,
    ENTITY,
    GENE,
    GENETIC,
    MOA_LIST,
    MODALITY,
    PERT_INAME,
    QUALITY,
    SUBSET,
    TARGET_LIST,
    Quality,
    embedding_columns,
    embeddings,
)
from morphoclip.evaluation.spaces import Spaces
from morphoclip.metrics.conditions import (
    by_cell_type,
    scored_controls,
    single_subset,
    treated_wells,
)
from morphoclip.metrics.matrix import Matrix, unit_rows
from morphoclip.metrics.significance import FEWEST_CONTROLS, p_of_means, q_values
from morphoclip.perturbations.doses import with_dose
from morphoclip.perturbations.genes import entries_of, genes_of

NAME = "name"
GENES = "genes"
MECHANISMS = "mechanisms"
FEW_CELLS = "few_cells"
"""Whether at least half of a treatment's wells show few cells or none."""
_COLUMNS_AT_ONCE = 64


@dataclass(frozen=True)
class Treatments:
    """G treatments of one condition, and its K controls.

    Attributes:
        facts: One row per treatment, in the order of ``means``.
        means: Mean of the unit vectors of each treatment's wells, ``(G, E)``.
        n_wells: Number of wells of each, ``(G,)``.
        controls: Unit vectors of the control wells, ``(K, E)``.
        spaces: The spaces that E is made of.
        control_rows: Row of each control in the table of wells, ``(K,)``.
    """

    facts: pd.DataFrame
    means: Matrix
    n_wells: NDArray[np.int64]
    controls: Matrix
    spaces: Spaces
    control_rows: NDArray[np.int64] = field(default_factory=lambda: np.empty(0, dtype=np.int64))

    @property
    def modality(self) -> str:
        """Of all of them."""
        return str(self.facts[MODALITY].iloc[0])

    def select(self, samples: Collection[str]) -> Self:
        """The treatments with these IDs; the controls stay."""
        return self._rows(np.flatnonzero(self.facts[BROAD_SAMPLE].isin(samples).to_numpy()))

    def in_parts(self, at_a_time: int) -> Iterator[Self]:
        """So many treatments at a time; the controls stay."""
        for start in range(0, len(self.facts), at_a_time):
            yield self._rows(np.arange(start, min(start + at_a_time, len(self.facts))))

    def _rows(self, rows: NDArray[np.int64]) -> Self:
        facts = self.facts.iloc[rows].reset_index(drop=True)
        return replace(self, facts=facts, means=self.means[rows], n_wells=self.n_wells[rows])

    def without_controls(self, rows: NDArray[np.int64]) -> Self:
        """The same beside the controls that are not among these rows of the table of wells."""
        if not np.isin(self.control_rows, rows).any():
            return self
        kept = ~np.isin(self.control_rows, rows)
        return replace(self, controls=self.controls[kept], control_rows=self.control_rows[kept])

    def compared_with(self, queries: Matrix) -> tuple[Matrix, Matrix]:
        """Similarity and z of each treatment to unit vectors ``(Q, E)``, both ``(Q, G)``.

        z is NaN with fewer than eight control wells.
        """
        similarity = queries @ self.means.T
        z = np.full_like(similarity, np.nan)
        n_controls = len(self.controls)
        if n_controls < FEWEST_CONTROLS:
            return similarity, z
        of_controls = queries @ self.controls.T
        spread = of_controls.std(axis=1, ddof=1, keepdims=True)
        error = spread * np.sqrt(1 / self.n_wells + 1 / n_controls)
        beyond = similarity - of_controls.mean(axis=1, keepdims=True)
        return similarity, np.divide(beyond, error, out=z, where=error > 0)

    def significance(self, queries: Matrix, similarity: Matrix) -> tuple[Matrix, Matrix]:
        """P of each similarity ``(Q, G)`` to unit vectors ``(Q, E)``, and q over the candidates.

        As `morphoclip.metrics.significance` says; NaN where a similarity is not finite, and with
        fewer than eight control wells.
        """
        p = np.full(similarity.shape, np.nan)
        q = np.full(similarity.shape, np.nan)
        of_controls = queries @ self.controls.T
        for row, own in enumerate(similarity):
            known = np.isfinite(own)
            p[row, known] = p_of_means(own[known], self.n_wells[known], of_controls[row])
            q[row] = q_values(p[row])
        return p, q


class TopMatches(NamedTuple):
    """The best candidates of each query, one entry per query and rank.

    Attributes:
        query: Row of the query.
        rank: From 1.
        candidate: Column of the candidate.
        z_expected_null: The z expected at that rank where no candidate differs from controls.
    """

    query: NDArray[np.int64]
    rank: NDArray[np.int64]
    candidate: NDArray[np.int64]
    z_expected_null: NDArray[np.float64]


def top_matches(similarity: Matrix, top_k: int) -> TopMatches:
    """The largest finite entries of each row of ``(Q, G)``, the largest first.

    ``z_expected_null`` is the expected order statistic of as many standard normals (Blom 1958).
    """
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :top_k]
    query, place = np.nonzero(np.isfinite(np.take_along_axis(similarity, order, axis=1)))
    number = np.isfinite(similarity).sum(axis=1)[query]
    expected = ndtri((number - place - 0.375) / (number + 0.25))
    return TopMatches(query, place + 1, order[query, place], expected)


def comparable_conditions(
    profiles: pd.DataFrame, perturbations: pd.DataFrame
) -> Iterator[tuple[Treatments, Treatments]]:
    """Each condition beside itself and beside those of other modalities on the same cells."""
    for by_name in conditions_by_cell_type(profiles, perturbations):
        for query_condition, queries in by_name.items():
            for condition, candidates in by_name.items():
                if query_condition == condition or queries.modality != candidates.modality:
                    yield queries, candidates


def conditions_by_cell_type(
    profiles: pd.DataFrame, perturbations: pd.DataFrame
) -> Iterator[dict[str, Treatments]]:
    """`conditions_of` one table of profiles with their metadata."""
    dimensions = embedding_columns(profiles)
    matrix = embeddings(profiles)
    wells = profiles.drop(columns=dimensions).reset_index(drop=True)
    return conditions_of(wells, matrix, Spaces.of_vectors(dimensions, matrix), perturbations)


def conditions_of(
    wells: pd.DataFrame, matrix: Matrix, spaces: Spaces, perturbations: pd.DataFrame
) -> Iterator[dict[str, Treatments]]:
    """For each cell type its conditions by name.

    A treatment's subset is that of all its wells, in any condition.

    Args:
        wells: ``Metadata_*``, B rows numbered from 0.
        matrix: Their profiles, ``(B, E)``.
        spaces: The spaces that E is made of.
        perturbations: Names and mechanisms of treatments.
    """
    is_treated = treated_wells(wells)
    keys = [MODALITY, BROAD_SAMPLE]
    subsets = wells[is_treated].groupby(keys)[SUBSET].agg(single_subset)
    in_all_conditions = subsets.reindex(pd.MultiIndex.from_frame(wells[keys])).to_numpy()
    for of_cells in by_cell_type(wells.assign(**{SUBSET: in_all_conditions})):
        yield {
            str(name): _treatments(rows, matrix, spaces, perturbations)
            for name, rows in of_cells.groupby(CONDITION)
            if treated_wells(rows).any()
        }


def shows_few_cells(wells: pd.DataFrame) -> pd.Series:
    """Which wells show few cells or none, ``(B,)`` bool."""
    return wells[QUALITY].isin([Quality.NEAR_EMPTY, Quality.FEW_CELLS])


def _treatments(
    wells: pd.DataFrame, matrix: Matrix, spaces: Spaces, perturbations: pd.DataFrame
) -> Treatments:
    is_treated = treated_wells(wells).to_numpy()
    treated = wells[is_treated]
    codes, _ = pd.factorize(treated[BROAD_SAMPLE], sort=True)
    n_wells = np.bincount(codes)
    columns = [CONDITION, MODALITY, ENTITY, GENE, TARGET_LIST, SUBSET]
    facts = treated.groupby(BROAD_SAMPLE)[columns].first().reset_index()
    known = perturbations.set_index([MODALITY, BROAD_SAMPLE]).reindex(
        pd.MultiIndex.from_frame(facts[[MODALITY, BROAD_SAMPLE]])
    )
    names = known[PERT_INAME].to_numpy()
    is_genetic = facts[MODALITY].isin(GENETIC)
    facts[NAME] = pd.Series(names).where(~is_genetic, facts[GENE]).fillna(facts[BROAD_SAMPLE])
    facts[NAME] = with_dose(facts[NAME], facts[BROAD_SAMPLE])
    facts[GENES] = genes_of(facts, listed=True)
    facts[MECHANISMS] = entries_of(known[MOA_LIST].reset_index(drop=True))
    share = shows_few_cells(treated).groupby(treated[BROAD_SAMPLE]).mean()
    facts[FEW_CELLS] = share.reindex(facts[BROAD_SAMPLE]).to_numpy() >= 0.5
    rows = wells.index.to_numpy(dtype=np.int64)
    means = _means_of_unit_rows(matrix, rows[is_treated], codes, n_wells)
    control_rows = rows[scored_controls(wells).to_numpy()]
    controls = unit_rows(matrix[control_rows].astype(np.float64))
    return Treatments(facts, means, n_wells, controls, spaces, control_rows)


def _means_of_unit_rows(
    matrix: Matrix, rows: NDArray[np.int64], codes: NDArray[np.int64], n_rows: NDArray[np.int64]
) -> Matrix:
    """Means ``(G, E)`` by group of some rows ``(B',)`` of a matrix, each at unit length.

    Some columns at a time: the rows are never all copied.
    """
    blocks = [
        slice(start, start + _COLUMNS_AT_ONCE)
        for start in range(0, matrix.shape[1], _COLUMNS_AT_ONCE)
    ]
    squared = np.zeros(len(rows))
    for block in blocks:
        some = matrix[rows, block]
        squared += np.einsum("be,be->b", some, some, dtype=np.float64)
    lengths = np.sqrt(squared)
    lengths[lengths == 0] = 1
    places = (codes, np.arange(len(codes)))
    weights = csr_array((1 / lengths, places), shape=(len(n_rows), len(codes)))
    means = np.empty((len(n_rows), matrix.shape[1]))
    for block in blocks:
        means[:, block] = weights @ matrix[rows, block].astype(np.float64)
    means /= n_rows[:, None]
    return means
