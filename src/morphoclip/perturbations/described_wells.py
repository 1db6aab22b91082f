"""From a lab's table of wells to the two tables that all later stages read."""

import pandas as pd

from morphoclip.columns import (
    ANTIBIOTICS,
    BROAD_SAMPLE,
    CELL_LINE,
    CELL_TYPE,
    CONDITION,
    DENSITY,
    ENTITY,
    MODALITY,
    N_SITES,
    PERTURBATION_TYPE,
    PLATE,
    ROLE,
    TIMEPOINT,
    WELL,
    Modality,
    Role,
)
from morphoclip.perturbations.entities import entities_of, perturbation_type
from morphoclip.perturbations.genes import with_functions
from morphoclip.schemas.ingestion import PERTURBATIONS, WELL_INDEX


def perturbations_of(
    wells: pd.DataFrame, gene_annotations: pd.DataFrame | None = None
) -> pd.DataFrame:
    """One row per perturbation, and dose where one was given in several.

    Args:
        wells: What `read_wells_table` returned.
        gene_annotations: Names and functions of genes' products.
    """
    given = wells[wells[ROLE] != Role.EMPTY].drop_duplicates([MODALITY, BROAD_SAMPLE])
    table = given.sort_values([MODALITY, BROAD_SAMPLE], ignore_index=True)
    table[PERTURBATION_TYPE] = [
        perturbation_type(Modality(modality), Role(role))
        for modality, role in zip(table[MODALITY], table[ROLE], strict=True)
    ]
    for modality, rows in table.groupby(MODALITY):
        table.loc[rows.index, ENTITY] = entities_of(Modality(modality), rows)
    table = with_functions(table, gene_annotations)
    return table[list(PERTURBATIONS.columns)]


def well_index_of(
    wells: pd.DataFrame, perturbations: pd.DataFrame, plates: list[str]
) -> pd.DataFrame:
    """One row per well of these plates; ``n_sites`` is 0 until counted.

    Args:
        wells: What `read_wells_table` returned.
        perturbations: What `perturbations_of` returned.
        plates: Barcodes.
    """
    chosen = wells[wells[PLATE].isin(plates)].reset_index(drop=True)
    by_id = perturbations.set_index([MODALITY, BROAD_SAMPLE])
    keys = pd.MultiIndex.from_frame(chosen[[MODALITY, BROAD_SAMPLE]].fillna(""))
    for column in (PERTURBATION_TYPE, ENTITY):
        chosen[column] = by_id[column].reindex(keys).to_numpy()
    parts = chosen[[MODALITY, CELL_TYPE, TIMEPOINT]].copy()
    parts[DENSITY] = "density " + chosen[DENSITY]
    parts[CELL_LINE] = chosen[CELL_LINE]
    chosen[CONDITION] = parts.agg(lambda row: "|".join(row.dropna()), axis=1)
    chosen[ANTIBIOTICS] = pd.Series(None, index=chosen.index, dtype="str")
    chosen[N_SITES] = 0
    return chosen[list(WELL_INDEX.columns)].sort_values([PLATE, WELL], ignore_index=True)
