"""Consensus profiles: one per treatment and condition."""

from typing import NamedTuple

import numpy as np
import pandas as pd

from morphoclip.columns import (
    BROAD_SAMPLE,
    CELL_TYPE,
    CONDITION,
    GENE,
    MODALITY,
    SUBSET,
    TARGET_LIST,
)
from morphoclip.metrics.conditions import single_subset, treated_wells
from morphoclip.metrics.matrix import Matrix


class Consensus(NamedTuple):
    """One row per treatment and condition: its metadata, and its profile in ``matrix`` ``(T, E)``.

    The index of ``table`` counts the rows of ``matrix``.
    """

    table: pd.DataFrame
    matrix: Matrix


def consensus_profiles_by_condition(metadata: pd.DataFrame, matrix: Matrix) -> Consensus:
    """The median over wells of each treatment in each condition, in float64."""
    wells = metadata.reset_index(drop=True)
    wells = wells[treated_wells(wells)]
    keys = [CONDITION, MODALITY, BROAD_SAMPLE]
    table = wells.groupby(keys)[[CELL_TYPE, GENE, TARGET_LIST]].first()
    table[SUBSET] = wells.groupby(keys)[SUBSET].agg(single_subset)
    medians = np.empty((len(table), matrix.shape[1]))
    n_filled = 0
    for _, own in wells.groupby(CONDITION):  # one after the other, so that few wells are held twice
        features = pd.DataFrame(matrix[own.index].astype(np.float64), index=own.index)
        found = features.groupby([own[key] for key in keys]).median()
        medians[n_filled : n_filled + len(found)] = found
        n_filled += len(found)
    return Consensus(table.reset_index(), medians)
