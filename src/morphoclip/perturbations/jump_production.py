"""JUMP's production metadata (cpg0016), as a table of wells.

The tables of github.com/jump-cellpainting/datasets: ``plate`` and ``well`` say where, ``compound``,
``crispr``, ``orf`` and ``perturbation_control`` say what (Chandrasekaran et al. 2023,
doi 10.1101/2023.03.23.534023).
"""

import logging
from collections.abc import Mapping

import pandas as pd

from morphoclip.columns import GENETIC, Modality
from morphoclip.config import Names
from morphoclip.errors import InputError, example_of
from morphoclip.loaders import Loaders
from morphoclip.perturbations.missing_values import with_missing
from morphoclip.table_checks import require_columns

logger = logging.getLogger(__name__)

TABLES: Mapping[str, frozenset[str]] = {
    "plate": frozenset(
        {"Metadata_Source", "Metadata_Batch", "Metadata_Plate", "Metadata_PlateType"}
    ),
    "well": frozenset({"Metadata_Source", "Metadata_Plate", "Metadata_Well", "Metadata_JCP2022"}),
    "compound": frozenset({"Metadata_JCP2022", "Metadata_InChIKey", "Metadata_SMILES"}),
    "crispr": frozenset({"Metadata_JCP2022", "Metadata_Symbol"}),
    "orf": frozenset({"Metadata_JCP2022", "Metadata_Symbol"}),
    "perturbation_control": frozenset(
        {"Metadata_JCP2022", "Metadata_pert_type", "Metadata_Name", "Metadata_modality"}
    ),
}
"""Tables, and the columns of them that are read."""

_ID = "Metadata_JCP2022"
_PLACE = ["Metadata_Source", "Metadata_Plate"]
_CELLS = "U2OS"
_MODALITY_OF_TYPE = {"CRISPR": Modality.CRISPR, "ORF": Modality.ORF}
"""Plates of all other types hold compounds."""


def jump_wells(tables: Loaders[pd.DataFrame], wanted: Names | None) -> pd.DataFrame:
    """Wells of some plates, with the columns of a wells table.

    Args:
        tables: By name, all text.
        wanted: Barcodes, and selections such as ``source_4/TARGET2`` or ``source_4/``: plates whose
            source, batch, type or barcode is each of the parts. None takes all.

    Raises:
        InputError: A table or a column is missing, or a part of ``wanted`` names nothing.
    """
    absent = sorted(set(TABLES) - set(tables))
    if absent:
        raise InputError(
            f"JUMP's metadata (ingestion.source.jump) lack {example_of(absent, limit=6)}: the "
            "folder metadata of github.com/jump-cellpainting/datasets has a .csv.gz of each"
        )
    plates = chosen_plates(_read(tables, "plate"), wanted)
    wells = _read(tables, "well").merge(plates, on=_PLACE, how="inner")
    without_wells = sorted(set(plates["Metadata_Plate"]) - set(wells["Metadata_Plate"]))
    if without_wells:
        raise InputError(
            f"JUMP's table well has no row of {len(without_wells)} chosen plate(s), e.g. "
            f"{example_of(without_wells)}; fetch the whole table"
        )
    wells["modality"] = wells["Metadata_PlateType"].map(_MODALITY_OF_TYPE).fillna("compound")
    wells = wells.merge(_perturbations(tables), on=_ID, how="left")
    needs_gene = wells["modality"].isin(GENETIC) & ~wells["control"].isin(["negcon", "empty"])
    is_described = wells["of_modality"].eq("any") | wells["of_modality"].eq(wells["modality"])
    usable = is_described & ~(needs_gene & wells["gene"].isna())
    if not usable.all():
        logger.warning(
            "%d of %d wells hold what no table describes for a plate of their kind (or no gene), "
            "and are not used: %s",
            int((~usable).sum()),
            len(wells),
            example_of(wells.loc[~usable, _ID].fillna("no ID").unique()),
        )
    wells = wells[usable]
    empty = wells["control"] == "empty"
    return pd.DataFrame(
        {
            "plate": wells["Metadata_Plate"],
            "well": wells["Metadata_Well"],
            "perturbation": wells[_ID].mask(empty, ""),
            "control": wells["control"].fillna(""),
            "modality": wells["modality"],
            "name": wells["name"].mask(empty, "").fillna(""),
            "gene": wells["gene"].fillna(""),
            "smiles": wells["Metadata_SMILES"].fillna(""),
            "inchikey": wells["Metadata_InChIKey"].fillna(""),
            "cell_type": _CELLS,
            "source": wells["Metadata_Source"],
            "batch": wells["Metadata_Batch"],
        },
        dtype="str",
    ).reset_index(drop=True)


def chosen_plates(plates: pd.DataFrame, wanted: Names | None) -> pd.DataFrame:
    """The rows of JUMP's table ``plate`` that are wanted.

    Raises:
        InputError: A part names nothing, or two sources have a plate of one barcode.
    """
    chosen = plates
    if wanted is not None:
        chosen = pd.concat([_selected(plates, entry) for entry in wanted]).drop_duplicates()
    repeated = chosen[chosen["Metadata_Plate"].duplicated(keep=False)]
    if len(repeated):
        barcode = repeated["Metadata_Plate"].iloc[0]
        sources = repeated.loc[repeated["Metadata_Plate"] == barcode, "Metadata_Source"]
        raise InputError(
            f"{repeated['Metadata_Plate'].nunique()} barcode(s) are of two sources, e.g. {barcode} "
            f"of {example_of(sources)}; choose one source, as in ingestion.plates:"
            f"{sources.iloc[0]}/{barcode}"
        )
    return chosen


def _selected(plates: pd.DataFrame, entry: str) -> pd.DataFrame:
    kinds = ["Metadata_Plate"]
    if "/" in entry:
        kinds += ["Metadata_Source", "Metadata_Batch", "Metadata_PlateType"]
    found = plates
    for part in (part for part in entry.split("/") if part):
        matches = found[kinds].eq(part).any(axis=1)
        if not matches.any():
            types = example_of(sorted(set(found["Metadata_PlateType"])), limit=9)
            raise InputError(
                f"ingestion.plates: no plate is of {part!r} in {entry!r}; write a barcode, or with "
                "a slash a source, a batch and a type of plate, as in source_4/TARGET2. Of "
                f"{len(found)} plates the types are {types}, the sources "
                f"{example_of(sorted(set(found['Metadata_Source'])), limit=13)}"
            )
        found = found[matches]
    return found


def _perturbations(tables: Loaders[pd.DataFrame]) -> pd.DataFrame:
    """One row per ID: its modality (``any`` for empty wells), control, name, gene and structure."""
    compounds = _read(tables, "compound").assign(of_modality="compound")
    genes = [
        _read(tables, kind).rename(columns={"Metadata_Symbol": "gene"}).assign(of_modality=kind)
        for kind in ("crispr", "orf")
    ]
    known = pd.concat([compounds, *genes], ignore_index=True).drop_duplicates(_ID)
    controls = _read(tables, "perturbation_control").drop_duplicates(_ID)
    controls = controls.rename(columns={"Metadata_pert_type": "control", "Metadata_Name": "name"})
    both = known.merge(controls, on=_ID, how="outer")
    both["of_modality"] = both["of_modality"].fillna(both["Metadata_modality"])
    both["gene"] = both["gene"].mask(both["control"].isin(["negcon", "empty"]))
    is_gene = both["of_modality"].isin(["crispr", "orf"])
    both["name"] = both["name"].mask(is_gene & both["gene"].notna())
    return both.drop(columns="Metadata_modality")


def _read(tables: Loaders[pd.DataFrame], name: str) -> pd.DataFrame:
    table = tables[name]()
    require_columns(table, set(TABLES[name]), f"JUMP's table {name}")
    return with_missing(table[sorted(TABLES[name])], f"JUMP's table {name}")
