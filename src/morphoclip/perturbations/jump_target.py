"""Readers of the JUMP-Target tables, dialects and all, into one table of perturbations.

Roles come from these tables, never from a platemap: platemaps have no control type. All columns
are read as text; `morphoclip.perturbations.missing_values` says which words mean "missing".
"""

import logging
from collections.abc import Mapping

import pandas as pd

from morphoclip.columns import (
    BROAD_SAMPLE,
    ENTITY,
    GENE,
    INCHIKEY,
    JUMP_TARGET,
    MOA_LIST,
    MODALITY,
    PERT_INAME,
    PERTURBATION_TYPE,
    ROLE,
    SMILES,
    TARGET_LIST,
    Modality,
    Role,
)
from morphoclip.errors import InputError, example_of
from morphoclip.perturbations.entities import entities_of, perturbation_type
from morphoclip.perturbations.genes import with_functions
from morphoclip.perturbations.missing_values import with_missing
from morphoclip.schemas.ingestion import PERTURBATIONS
from morphoclip.table_checks import refuse_repeats, require_columns

logger = logging.getLogger(__name__)

DMSO = "DMSO"
"""The ID of the vehicle control, which the tables leave blank."""


def perturbation_table(
    tables: Mapping[str, pd.DataFrame],
    annotations: pd.DataFrame | None = None,
    gene_annotations: pd.DataFrame | None = None,
) -> pd.DataFrame:
    """One row per perturbation, of every modality that has a table.

    Args:
        tables: File stem -> JUMP-Target metadata table.
        annotations: The compound table with ``moa_list``, which then takes the place of the plain
            one.
        gene_annotations: Names and functions of genes' products, for guides and ORFs.

    Raises:
        InputError: No table is known, a column is missing, or an ID has two rows.
    """
    parts = []
    for modality in JUMP_TARGET:
        name, table = _table_of(modality, tables, annotations)
        if table is not None:
            parts.append(_read_modality(modality, name, with_missing(table, name)))
    if not parts:
        raise InputError(
            "external_metadata holds no JUMP-Target table: files read "
            f"JUMP-Target-1_compound_metadata.tsv; there are {example_of(sorted(tables)) or 'none'}"
        )
    table = pd.concat(parts, ignore_index=True)
    table = with_functions(table, gene_annotations)
    return table.reindex(columns=list(PERTURBATIONS.columns))


def _table_of(
    modality: Modality, tables: Mapping[str, pd.DataFrame], annotations: pd.DataFrame | None
) -> tuple[str, pd.DataFrame | None]:
    if modality is Modality.COMPOUND and annotations is not None:
        logger.info(
            "compounds: the annotations file is read instead of the table in external_metadata"
        )
        return "the annotated compound table (ingestion.source.annotations)", annotations
    names = sorted(
        (name for name in tables if f"_{modality}_metadata" in name),
        key=lambda name: (not name.endswith("_targets"), name),
    )
    return (names[0], tables[names[0]]) if names else ("", None)


def _read_modality(modality: Modality, file: str, table: pd.DataFrame) -> pd.DataFrame:
    required = {"broad_sample", "control_type"}
    required |= {"pert_iname", "smiles"} if modality is Modality.COMPOUND else {"gene"}
    require_columns(table, required, file)
    refuse_repeats(table, "broad_sample", file, "keep one row, and so one name, per ID")
    blank_is_control = modality is Modality.COMPOUND and _says_that_blank_is_control(table)
    table = table.dropna(subset=["broad_sample"])  # the DMSO row, and one all-blank row of ORFs
    read = pd.DataFrame(
        {
            MODALITY: str(modality),
            BROAD_SAMPLE: table["broad_sample"],
            ROLE: _roles(table["control_type"], file),
            PERT_INAME: _column(table, "pert_iname"),
            GENE: _primary_gene(table),
            TARGET_LIST: _column(table, "target_list").str.upper(),
            MOA_LIST: _column(table, "moa_list"),
            SMILES: _column(table, "smiles"),
            INCHIKEY: _column(table, "InChIKey"),
        }
    )
    _refuse_nameless(read, PERT_INAME if modality is Modality.COMPOUND else GENE, file)
    is_dmso = read[BROAD_SAMPLE] == DMSO  # a row of its own has a name; the vehicle's has none
    read[PERT_INAME] = read[PERT_INAME].mask(is_dmso & read[PERT_INAME].isna(), DMSO)
    if blank_is_control and not is_dmso.any():
        dmso = {MODALITY: str(modality), BROAD_SAMPLE: DMSO, ROLE: str(Role.NEGCON)}
        read = pd.concat([read, pd.DataFrame([dmso])], ignore_index=True)
    read[PERTURBATION_TYPE] = [perturbation_type(modality, Role(role)) for role in read[ROLE]]
    read[ENTITY] = entities_of(modality, read)
    return read


def blank_is_vehicle(perturbations: pd.DataFrame) -> bool:
    """Whether a well without an ID on a compound plate has the vehicle, by what the table says."""
    vehicle = perturbations[
        (perturbations[MODALITY] == Modality.COMPOUND) & (perturbations[BROAD_SAMPLE] == DMSO)
    ]
    return bool(vehicle[PERT_INAME].isna().any())


def _says_that_blank_is_control(table: pd.DataFrame) -> bool:
    """Whether the table has a row of negative controls that have no ID: the vehicle."""
    return bool((table["broad_sample"].isna() & (table["control_type"] == Role.NEGCON)).any())


def _refuse_nameless(read: pd.DataFrame, column: str, file: str) -> None:
    """Only negative controls may have no name: there is nothing to say about the others."""
    nameless = read.loc[read[column].isna() & (read[ROLE] != Role.NEGCON), BROAD_SAMPLE]
    if len(nameless):
        raise InputError(
            f"{file}: {len(nameless)} perturbation(s) have no {column.removeprefix('Metadata_')}: "
            f"{example_of(nameless)}; fill it in, or mark controls as negcon"
        )


def _column(table: pd.DataFrame, name: str) -> pd.Series:
    if name in table:
        return table[name]
    return pd.Series(None, index=table.index, dtype="str")


def _primary_gene(table: pd.DataFrame) -> pd.Series:
    """``target``, in older dialects ``gene``; with neither, the only entry of ``target_list``."""
    for name in ("target", "gene"):
        if name in table:
            return table[name].str.upper()
    listed = _column(table, "target_list").str.upper()
    return listed.where(~listed.str.contains("|", regex=False, na=True), None)


def _roles(control_type: pd.Series, file: str) -> pd.Series:
    roles = control_type.fillna(str(Role.TRT))
    unknown = sorted(set(roles) - {str(role) for role in Role})
    if unknown:
        raise InputError(
            f"{file} has the unknown control_type(s) {example_of(unknown)}; known are negcon, "
            "poscon_cp, poscon_orf, poscon_diverse and blank for treatments"
        )
    return roles
