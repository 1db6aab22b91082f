"""Treatments of a condition beside its control wells: what queries are compared with.

A similarity is the mean cosine between a query and the wells of a treatment. ``z`` is that
similarity minus the mean similarity of the control wells of the same condition, in standard errors
of the difference. Wells of one plate are not independent, all treatments differ from controls in
some common ways, and the best of many candidates is always far out: ``z_expected_null`` is the z
expected at the same rank if no candidate differed from controls. z ranks and warns; it is no test.
"""

from collections.abc import Collection, Iterator
from dataclasses import dataclass, replace
from typing import NamedTuple, Self

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.special import ndtri

from morphoclip.columns import (
    BROAD_SAMPLE,
    CONDITION,
    ENTITY,
    GENE,
    GENETIC,
    MODALITY,
    PERT_INAME,
    QUALITY,
    SUBSET,
    TARGET_LIST,
    Quality,
    embedding_columns,
)
from morphoclip.evaluation.spaces import Spaces
from morphoclip.metrics.conditions import (
    by_cell_type,
    scored_controls,
    single_subset,
    treated_wells,
)
from morphoclip.metrics.matrix import Matrix, unit_rows
from morphoclip.perturbations.doses import with_dose
from morphoclip.perturbations.genes import genes_of

NAME = "name"
GENES = "genes"
FEW_CELLS = "few_cells"
"""Whether at least half of a treatment's wells show few cells or none."""
_FEWEST_CONTROLS = 8
"""With fewer control wells their spread is too badly known to be a measure."""


@dataclass(frozen=True)
class Treatments:
    """G treatments of one condition, and its K controls.

    Attributes:
        facts: One row per treatment, in the order of ``means``.
        means: Mean of the unit vectors of each treatment's wells, ``(G, E)``.
        n_wells: Number of wells of each, ``(G,)``.
        controls: Unit vectors of the control wells, ``(K, E)``.
        spaces: The spaces that E is made of.
    """

    facts: pd.DataFrame
    means: Matrix
    n_wells: NDArray[np.int64]
    controls: Matrix
    spaces: Spaces

    @property
    def modality(self) -> str:
        """Of all of them."""
        return str(self.facts[MODALITY].iloc[0])

    def select(self, samples: Collection[str]) -> Self:
        """The treatments with these IDs; the controls stay."""
        chosen = self.facts[BROAD_SAMPLE].isin(samples).to_numpy()
        facts = self.facts[chosen].reset_index(drop=True)
        return replace(self, facts=facts, means=self.means[chosen], n_wells=self.n_wells[chosen])

    def compared_with(self, queries: Matrix) -> tuple[Matrix, Matrix]:
        """Similarity and z of each treatment to unit vectors ``(Q, E)``, both ``(Q, G)``.

        z is NaN with fewer than eight control wells.
        """
        similarity = queries @ self.means.T
        z = np.full_like(similarity, np.nan)
        n_controls = len(self.controls)
        if n_controls < _FEWEST_CONTROLS:
            return similarity, z
        of_controls = queries @ self.controls.T
        spread = of_controls.std(axis=1, ddof=1, keepdims=True)
        error = spread * np.sqrt(1 / self.n_wells + 1 / n_controls)
        beyond = similarity - of_controls.mean(axis=1, keepdims=True)
        return similarity, np.divide(beyond, error, out=z, where=error > 0)


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
    """For each cell type its conditions by name.

    A treatment's subset is that of all its wells, in any condition.
    """
    is_treated = treated_wells(profiles)
    keys = [MODALITY, BROAD_SAMPLE]
    subsets = profiles[is_treated].groupby(keys)[SUBSET].agg(single_subset)
    in_all_conditions = subsets.reindex(pd.MultiIndex.from_frame(profiles[keys])).to_numpy()
    for wells in by_cell_type(profiles.assign(**{SUBSET: in_all_conditions})):
        yield {
            str(name): _treatments(rows, perturbations)
            for name, rows in wells.groupby(CONDITION)
            if treated_wells(rows).any()
        }


def _treatments(wells: pd.DataFrame, perturbations: pd.DataFrame) -> Treatments:
    unit = unit_rows(wells[embedding_columns(wells)].to_numpy(dtype=np.float64))
    is_treated = treated_wells(wells).to_numpy()
    treated = wells[is_treated]
    codes, ids = pd.factorize(treated[BROAD_SAMPLE], sort=True)
    sums = np.zeros((len(ids), unit.shape[1]))
    np.add.at(sums, codes, unit[is_treated])
    n_wells = np.bincount(codes)
    columns = [CONDITION, MODALITY, ENTITY, GENE, TARGET_LIST, SUBSET]
    facts = treated.groupby(BROAD_SAMPLE)[columns].first().reset_index()
    compound_names = perturbations.set_index([MODALITY, BROAD_SAMPLE])[PERT_INAME]
    names = compound_names.reindex(
        pd.MultiIndex.from_frame(facts[[MODALITY, BROAD_SAMPLE]])
    ).to_numpy()
    is_genetic = facts[MODALITY].isin(GENETIC)
    facts[NAME] = pd.Series(names).where(~is_genetic, facts[GENE]).fillna(facts[BROAD_SAMPLE])
    facts[NAME] = with_dose(facts[NAME], facts[BROAD_SAMPLE])
    facts[GENES] = genes_of(facts, listed=True)
    without_cells = treated[QUALITY].isin([Quality.NEAR_EMPTY, Quality.FEW_CELLS])
    share = without_cells.groupby(treated[BROAD_SAMPLE]).mean()
    facts[FEW_CELLS] = share.reindex(facts[BROAD_SAMPLE]).to_numpy() >= 0.5
    controls = unit[scored_controls(wells).to_numpy()]
    return Treatments(facts, sums / n_wells[:, None], n_wells, controls, Spaces.of(wells))
