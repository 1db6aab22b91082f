"""Treatments of a condition beside its control wells: what answers are looked up in.

A similarity is the mean cosine between a query and the wells of a treatment. ``z`` says how far
that lies beyond the control wells of the same condition, in standard errors of the difference of
the two means. Wells of a plate are not independent, treatments differ from controls in what they
have in common, and who looks for the best of many finds it: ``z_by_luck`` is the z expected at the
same place if none of the candidates differed from controls. z compares and warns; it is no test.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import norm
from sklearn.preprocessing import normalize

from morphoclip.metrics.matching import only_one, scored_controls, treated_wells
from morphoclip.metrics.retrieval import Matrix
from morphoclip.metrics.scores import embedding_columns
from morphoclip.perturbations.tables import genes_of
from morphoclip.schemas import (
    BROAD_SAMPLE,
    CELL_TYPE,
    CONDITION,
    ENTITY,
    GENE,
    MODALITY,
    PERT_INAME,
    SUBSET,
    TARGET_LIST,
    Modality,
)

NAME = "name"
GENES = "genes"
_FEWEST_CONTROLS = 8
"""With fewer control wells their spread is too badly known to be a measure."""


@dataclass(frozen=True)
class Treatments:
    """G treatments of one condition, and its K controls.

    Attributes:
        facts: One row a treatment, in the order of ``means``.
        means: Mean of the unit vectors of each treatment's wells, ``(G, E)``.
        n_wells: Number of wells of each, ``(G,)``.
        controls: Unit vectors of the control wells, ``(K, E)``.
    """

    facts: pd.DataFrame
    means: Matrix
    n_wells: NDArray[np.int64]
    controls: Matrix

    @property
    def modality(self) -> str:
        """Of all of them."""
        return str(self.facts[MODALITY].iloc[0])

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


class Nearest(NamedTuple):
    """The best entries of rows: row, place from 1, column, and the z that luck gives that place."""

    query: NDArray[np.int64]
    place: NDArray[np.int64]
    chosen: NDArray[np.int64]
    z_by_luck: NDArray[np.float64]


def nearest(similarity: Matrix, places: int) -> Nearest:
    """The largest entries of each row that are finite, the largest first.

    ``z_by_luck`` is the expected order statistic of as many standard normals (Blom 1958).
    """
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :places]
    query, place = np.nonzero(np.isfinite(np.take_along_axis(similarity, order, axis=1)))
    number = np.isfinite(similarity).sum(axis=1)[query]
    luck = norm.ppf((number - place - 0.375) / (number + 0.25))
    return Nearest(query, place + 1, order[query, place], luck)


def pairs_of_conditions(
    profiles: pd.DataFrame, perturbations: pd.DataFrame
) -> Iterator[tuple[Treatments, Treatments]]:
    """Each condition beside itself and beside those of other modalities on the same cells."""
    for named in conditions_by_cell_type(profiles, perturbations):
        for one, queries in named.items():
            for other, candidates in named.items():
                if one == other or queries.modality != candidates.modality:
                    yield queries, candidates


def conditions_by_cell_type(
    profiles: pd.DataFrame, perturbations: pd.DataFrame
) -> Iterator[dict[str, Treatments]]:
    """For each cell type its conditions by name; without metadata a modality is one condition.

    A treatment's subset is that of all its wells, in any condition.
    """
    is_treated = treated_wells(profiles)
    keys = [MODALITY, BROAD_SAMPLE]
    subsets = profiles[is_treated].groupby(keys)[SUBSET].agg(only_one)
    wells = profiles.assign(
        **{
            CONDITION: profiles[CONDITION].fillna(profiles[MODALITY]),
            SUBSET: subsets.reindex(pd.MultiIndex.from_frame(profiles[keys])).to_numpy(),
        }
    )
    for _, cell in wells.groupby(wells[CELL_TYPE].fillna("")):
        yield {
            str(name): _treatments(own, perturbations)
            for name, own in cell.groupby(CONDITION)
            if treated_wells(own).any()
        }


def _treatments(wells: pd.DataFrame, perturbations: pd.DataFrame) -> Treatments:
    unit = normalize(wells[embedding_columns(wells)].to_numpy(dtype=np.float64))
    is_treated = treated_wells(wells).to_numpy()
    treated = wells[is_treated]
    codes, ids = pd.factorize(treated[BROAD_SAMPLE], sort=True)
    sums = np.zeros((len(ids), unit.shape[1]))
    np.add.at(sums, codes, unit[is_treated])
    n_wells = np.bincount(codes)
    of_all = [CONDITION, MODALITY, ENTITY, GENE, TARGET_LIST, SUBSET]
    facts = treated.groupby(BROAD_SAMPLE)[of_all].first().reset_index()
    known = perturbations.set_index([MODALITY, BROAD_SAMPLE])[PERT_INAME]
    names = known.reindex(pd.MultiIndex.from_frame(facts[[MODALITY, BROAD_SAMPLE]])).to_numpy()
    is_compound = facts[MODALITY].eq(Modality.COMPOUND)
    facts[NAME] = pd.Series(names).where(is_compound, facts[GENE]).fillna(facts[BROAD_SAMPLE])
    facts[GENES] = genes_of(facts, listed=True)
    controls = unit[scored_controls(wells).to_numpy()]
    return Treatments(facts, sums / n_wells[:, None], n_wells, controls)
