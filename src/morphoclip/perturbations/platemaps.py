"""Wells of plates laid out as CPJUMP1's are: barcodes, platemaps, experiment metadata."""

import logging
from collections.abc import Mapping, Sequence

import pandas as pd

from morphoclip.columns import (
    ANTIBIOTICS,
    BROAD_SAMPLE,
    CELL_LINE,
    CELL_TYPE,
    CONDITION,
    DENSITY,
    ENTITY,
    GENE,
    JUMP_TARGET,
    MODALITY,
    N_SITES,
    PERTURBATION_TYPE,
    PLATE,
    ROLE,
    TARGET_LIST,
    TIMEPOINT,
    WELL,
    Modality,
    Role,
)
from morphoclip.errors import InputError, example_of
from morphoclip.perturbations.jump_target import DMSO, blank_is_vehicle
from morphoclip.perturbations.missing_values import with_missing
from morphoclip.schemas.ingestion import WELL_INDEX
from morphoclip.table_checks import refuse_repeats, require_rows, wells_of

logger = logging.getLogger(__name__)

_EXPERIMENT_COLUMNS = {
    "Cell_type": CELL_TYPE,
    "Time": TIMEPOINT,
    "Density": DENSITY,
    "Antibiotics": ANTIBIOTICS,
    "Cell_line": CELL_LINE,
}


_CALLED_EMPTY, _EMPTY = "is_called_empty", ("empty", "blank")


def platemap_of(barcode_platemap: pd.DataFrame) -> dict[str, str]:
    """Barcode -> name of its platemap.

    Raises:
        InputError: A column is missing, or a barcode is listed twice.
    """
    table = with_missing(barcode_platemap, "barcode_platemap.csv")
    barcode, name = "Assay_Plate_Barcode", "Plate_Map_Name"
    require_rows(table, {barcode, name}, "barcode_platemap.csv")
    table = table.dropna(subset=[barcode, name])
    refuse_repeats(table, barcode, "barcode_platemap.csv", "keep one platemap per plate")
    return dict(zip(table[barcode], table[name], strict=True))


def modality_of_platemap(name: str) -> Modality:
    """The modality that a platemap's name says.

    Raises:
        InputError: It says none, or several.
    """
    named = [modality for modality in JUMP_TARGET if modality in name.lower()]
    if len(named) != 1:
        raise InputError(
            f"platemap {name!r} names no single modality: one of {', '.join(JUMP_TARGET)} belongs "
            "in its name, as in JUMP-Target-1_compound_platemap"
        )
    return named[0]


def modality_of_barcode(barcode_platemap: pd.DataFrame) -> dict[str, Modality]:
    """Barcode -> modality, of every plate of the map."""
    platemaps = platemap_of(barcode_platemap)
    return {barcode: modality_of_platemap(name) for barcode, name in platemaps.items()}


def build_well_index(
    plates: Sequence[str],
    barcode_platemap: pd.DataFrame,
    platemaps: Mapping[str, pd.DataFrame],
    perturbations: pd.DataFrame,
    experiment_metadata: pd.DataFrame | None,
    batch: str,
) -> pd.DataFrame:
    """One row per well of the plates, with what was done to it; ``n_sites`` is 0 until counted.

    A blank ``broad_sample`` is an empty well; on a compound plate it is DMSO where the table of
    compounds has a negative control without an ID, as JUMP-Target's has.

    Args:
        plates: Barcodes.
        barcode_platemap: Barcode to platemap.
        platemaps: Platemap name -> wells and IDs.
        perturbations: The table of perturbations.
        experiment_metadata: experiment-metadata.tsv; without it conditions are missing.
        batch: The batch whose rows of it count.

    Raises:
        InputError: A platemap is absent, a well is listed twice, or no table knows an ID.
    """
    name_of = platemap_of(barcode_platemap)
    layouts = {
        name: _read_platemap(name, platemaps) for name in {name_of[plate] for plate in plates}
    }
    wells = pd.concat(
        [layouts[name_of[plate]].assign(**{PLATE: plate}) for plate in plates], ignore_index=True
    )
    by_id = perturbations.set_index([MODALITY, BROAD_SAMPLE])
    if blank_is_vehicle(perturbations):
        is_blank = wells[BROAD_SAMPLE].isna() & ~wells[_CALLED_EMPTY]
        is_vehicle = is_blank & (wells[MODALITY] == Modality.COMPOUND)
        wells[BROAD_SAMPLE] = wells[BROAD_SAMPLE].mask(is_vehicle, DMSO)
    keys = pd.MultiIndex.from_frame(wells[[MODALITY, BROAD_SAMPLE]].fillna(""))
    _refuse_unknown_ids(wells, keys.isin(by_id.index) | wells[BROAD_SAMPLE].isna().to_numpy())
    for column in (ROLE, PERTURBATION_TYPE, GENE, TARGET_LIST, ENTITY):
        wells[column] = by_id[column].reindex(keys).to_numpy()
    wells[ROLE] = wells[ROLE].fillna(str(Role.EMPTY))
    experiments = (
        None if experiment_metadata is None else _experiments_of_batch(experiment_metadata, batch)
    )
    wells = _with_conditions(wells, experiments)
    wells[N_SITES] = 0
    wells = wells.reindex(columns=list(WELL_INDEX.columns))
    return wells.sort_values([PLATE, WELL], ignore_index=True)


def _experiments_of_batch(experiment_metadata: pd.DataFrame, batch: str) -> pd.DataFrame:
    """Rows of one batch, by barcode; other batches repeat barcodes.

    Raises:
        InputError: The batch has no row, or a barcode has two.
    """
    table = with_missing(experiment_metadata, "experiment-metadata.tsv")
    require_rows(
        table, {"Batch", "Assay_Plate_Barcode", *_EXPERIMENT_COLUMNS}, "experiment-metadata.tsv"
    )
    rows = table[table["Batch"] == batch]
    refuse_repeats(rows, "Assay_Plate_Barcode", "experiment-metadata.tsv", "keep one row per plate")
    rows = rows.set_index("Assay_Plate_Barcode")
    if rows.empty:
        raise InputError(
            f"experiment-metadata.tsv has no row of batch {batch}; it has "
            f"{example_of(sorted(set(table['Batch'].dropna())))}"
        )
    return rows.rename(columns=_EXPERIMENT_COLUMNS)


def _read_platemap(name: str, platemaps: Mapping[str, pd.DataFrame]) -> pd.DataFrame:
    if name not in platemaps:
        raise InputError(
            f"platemap {name} is named in barcode_platemap.csv and is not in platemap/: "
            f"there are {example_of(sorted(platemaps)) or 'none'}"
        )
    table = with_missing(platemaps[name], f"platemap {name}")
    require_rows(table, {"well_position", "broad_sample"}, f"platemap {name}")
    modality = modality_of_platemap(name)
    wells = pd.DataFrame(
        {
            WELL: wells_of(table["well_position"], f"platemap {name}"),
            BROAD_SAMPLE: table["broad_sample"],
            MODALITY: str(modality),
            _CALLED_EMPTY: platemaps[name]["broad_sample"].str.strip().str.lower().isin(_EMPTY),
        }
    )
    wells[BROAD_SAMPLE] = wells[BROAD_SAMPLE].mask(wells[_CALLED_EMPTY])
    refuse_repeats(
        wells.rename(columns={WELL: "well"}), "well", f"platemap {name}", "keep one row per well"
    )
    return wells


def _refuse_unknown_ids(wells: pd.DataFrame, is_known: Sequence[bool]) -> None:
    unknown = wells.loc[[not in_table for in_table in is_known]]
    if len(unknown):
        first = unknown.iloc[0]
        raise InputError(
            f"{unknown[BROAD_SAMPLE].nunique()} broad_sample(s) of the platemaps are in no "
            f"JUMP-Target table, e.g. {first[BROAD_SAMPLE]} in well {first[WELL]} of the "
            f"{first[MODALITY]} platemap; add their rows to the table in external_metadata"
        )


def _with_conditions(wells: pd.DataFrame, experiments: pd.DataFrame | None) -> pd.DataFrame:
    columns = list(_EXPERIMENT_COLUMNS.values())
    if experiments is None:
        logger.info("no experiment metadata: cell type, timepoint and density are missing")
        return wells.assign(**dict.fromkeys(columns), **{CONDITION: wells[MODALITY]})
    absent = sorted(set(wells[PLATE]) - set(experiments.index))
    if absent:
        raise InputError(
            f"experiment-metadata.tsv has no row for {len(absent)} plate(s): {example_of(absent)}"
        )
    conditions = experiments.loc[wells[PLATE], columns].reset_index(drop=True)
    parts = pd.concat([wells[MODALITY], conditions], axis=1)
    return pd.concat(
        [
            wells,
            conditions,
            parts.agg(lambda row: "|".join(row.dropna()), axis=1).rename(CONDITION),
        ],
        axis=1,
    )
