"""Which conditions are compared with each other, and which subset a treatment belongs to.

A condition is a modality with its cell type, time and density (``Metadata_condition``); only those
on the same cells are compared.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morphoclip.columns import (
    CELL_TYPE,
    CONDITION,
    GENETIC,
    MODALITY,
    REFERENCE,
    ROLE,
    Modality,
    Role,
)


def rows_by_condition(metadata: pd.DataFrame) -> Iterator[tuple[str, NDArray[np.int64]]]:
    """Each condition and the numbers of its rows, conditions in order of their names."""
    condition = metadata[CONDITION].to_numpy(dtype=str)
    for name in np.unique(condition):
        yield str(name), np.flatnonzero(condition == name)


class ConditionPair(NamedTuple):
    """A compound condition and a genetic condition (CRISPR, ORF, siRNA) on the same cells."""

    compound_condition: str
    compounds: pd.DataFrame
    genetic_condition: str
    genetic: pd.DataFrame


def by_cell_type(table: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """The rows of each cell type; rows of an unknown one belong together."""
    for _, rows in table.groupby(table[CELL_TYPE].fillna("")):
        yield rows


def compound_gene_pairs(table: pd.DataFrame) -> Iterator[ConditionPair]:
    """Every compound condition with every genetic condition of the same cells."""
    for rows in by_cell_type(table):
        compounds = rows[rows[MODALITY] == Modality.COMPOUND]
        genetic = rows[rows[MODALITY].isin(GENETIC)]
        for compound_condition, some_compounds in compounds.groupby(CONDITION):
            for genetic_condition, some_genetic in genetic.groupby(CONDITION):
                yield ConditionPair(
                    str(compound_condition), some_compounds, str(genetic_condition), some_genetic
                )


def single_subset(subsets: pd.Series) -> str | None:
    """The subset that all wells are in; treatments of several subsets belong to no stratum."""
    return subsets.iloc[0] if len(set(subsets)) == 1 else None


def scored_controls(metadata: pd.DataFrame) -> pd.Series:
    """Negative controls that no normalisation was fitted on."""
    return (metadata[ROLE] == Role.NEGCON) & ~metadata[REFERENCE].astype(bool)


def treated_wells(metadata: pd.DataFrame) -> pd.Series:
    """Wells with a treatment, positive controls among them."""
    return ~metadata[ROLE].isin([Role.NEGCON, Role.EMPTY])
