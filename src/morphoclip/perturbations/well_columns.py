"""What the columns of a wells table may be called."""

import logging
import re
from collections.abc import Iterable, Mapping

import pandas as pd

from morphoclip.columns import (
    BATCH,
    BROAD_SAMPLE,
    CELL_LINE,
    CELL_TYPE,
    CONCENTRATION,
    CONCENTRATION_UNIT,
    DENSITY,
    DESCRIPTION,
    GENE,
    INCHIKEY,
    MOA_LIST,
    MODALITY,
    PERT_INAME,
    PLATE,
    REPLICATE,
    ROLE,
    SMILES,
    SOURCE,
    TARGET_LIST,
    TIMEPOINT,
    WELL,
)
from morphoclip.errors import InputError, example_of

logger = logging.getLogger(__name__)

FILE = "the wells table"

COLUMNS = {
    "plate": PLATE,
    "well": WELL,
    "row": "row",
    "column": "column",
    "perturbation": BROAD_SAMPLE,
    "control": ROLE,
    "modality": MODALITY,
    "name": PERT_INAME,
    "gene": GENE,
    "targets": TARGET_LIST,
    "moa": MOA_LIST,
    "smiles": SMILES,
    "inchikey": INCHIKEY,
    "concentration": CONCENTRATION,
    "unit": CONCENTRATION_UNIT,
    "cell_type": CELL_TYPE,
    "cell_line": CELL_LINE,
    "timepoint": TIMEPOINT,
    "density": DENSITY,
    "source": SOURCE,
    "batch": BATCH,
    "replicate": REPLICATE,
    "description": DESCRIPTION,
}
"""What a table's columns are called, and what they become."""

_ALIASES = {
    "well_position": "well",
    "col": "column",
    "broad_sample": "perturbation",
    "pert_iname": "name",
    "control_type": "control",
    "role": "control",
    "target_list": "targets",
    "moa_list": "moa",
    "concentration_unit": "unit",
}
"""As the Cell Painting Gallery's tables and ours call them."""


_LIKELY = {
    "plate": ("barcode", "plate_barcode", "plate_id", "plate_name", "assay_plate_barcode"),
    "well": ("well_id", "well_name", "position", "wellposition"),
    "perturbation": ("compound", "compound_id", "treatment", "drug", "perturbation_id", "sample"),
    "control": ("control_kind", "well_type", "welltype", "sample_type"),
    "name": ("compound_name", "drug_name", "perturbation_name"),
    "gene": ("gene_symbol", "symbol", "target_gene"),
    "targets": ("target", "target_genes"),
    "moa": ("mechanism", "mechanism_of_action"),
    "concentration": ("conc", "dose", "concentration_um", "dose_um"),
    "unit": ("units", "dose_unit", "conc_unit", "concentration_units"),
    "cell_type": ("cell", "cells"),
    "timepoint": ("time", "hours"),
}
"""What labs often call them; read only where a proposal of `kedro init-plates` was agreed to."""


def likely_columns(headers: Iterable[object]) -> dict[str, str]:
    """Our names of columns to headers that probably mean them, where none has our name."""
    plain = {_plain(header): str(header) for header in headers}
    known = {_ALIASES.get(name, name) for name in plain}
    found = {}
    for ours, likely in _LIKELY.items():
        theirs = [plain[name] for name in likely if name in plain]
        if ours not in known and theirs:
            found[ours] = theirs[0]
    return found


def with_our_columns(table: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """The columns that are read, under our names.

    Args:
        table: As it was written.
        names: What the table calls a column of ours, where it is not that.

    Raises:
        InputError: One is missing, or two say the same.
    """
    unknown = sorted(set(names) - set(COLUMNS))
    if unknown:
        raise InputError(
            f"ingestion.well_columns names {example_of(unknown)}, which is no column of ours; ours "
            f"are {', '.join(COLUMNS)}"
        )
    absent = sorted(theirs for theirs in names.values() if theirs not in table)
    if absent:
        raise InputError(
            f"ingestion.well_columns says that {FILE} has the column(s) {example_of(absent)}; it "
            f"has {', '.join(map(str, table.columns))}"
        )
    chosen: dict[str, str] = {theirs: ours for ours, theirs in names.items()}
    for header in table.columns:
        ours = _plain(header)
        ours = _ALIASES.get(ours, ours)
        if header not in chosen and ours in COLUMNS and ours not in names:
            chosen[header] = ours
    repeated = {ours for ours in chosen.values() if list(chosen.values()).count(ours) > 1}
    if repeated:
        ours = sorted(repeated)[0]
        headers = [header for header, name in chosen.items() if name == ours]
        raise InputError(
            f"{FILE} has {len(headers)} columns that say {ours}: {example_of(headers)}; choose one "
            f"with ingestion.well_columns, as in {ours}={headers[0]}"
        )
    found = set(chosen.values())
    lacking = [] if "plate" in found else ["plate"]
    if "well" not in found and not {"row", "column"} <= found:
        lacking.append("well (or row and column)")
    if not {"perturbation", "control"} & found:
        lacking.append("perturbation")
    if lacking:
        raise InputError(
            f"{FILE} lacks the column(s) {', '.join(lacking)}; it has "
            f"{', '.join(map(str, table.columns))}. Where they are called otherwise, say so: "
            "ingestion.well_columns:plate=Barcode+perturbation=Compound"
        )
    others = [str(header) for header in table.columns if header not in chosen]
    if others:
        logger.info(
            "%d column(s) of %s are not read: %s", len(others), FILE, example_of(others, limit=8)
        )
    return table[list(chosen)].rename(columns={h: COLUMNS[ours] for h, ours in chosen.items()})


def _plain(header: object) -> str:
    text = re.sub(r"[\s\-]+", "_", str(header).strip().lower())
    return text.removeprefix("metadata_")


def called(column: str) -> str:
    """What a wells table calls a column of ours."""
    return next(theirs for theirs, ours in COLUMNS.items() if ours == column)
