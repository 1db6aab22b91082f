"""One table of wells, as a lab keeps it: where each well is and what was done to it.

Read into what all later stages take: the table of perturbations and the well index. Names of
columns are read in any case, with or without ``Metadata_``.
"""

import logging
import re
from collections.abc import Mapping

import numpy as np
import pandas as pd

from morphoclip.columns import (
    BATCH,
    BROAD_SAMPLE,
    CELL_LINE,
    CELL_TYPE,
    DENSITY,
    DESCRIPTION,
    GENE,
    GENETIC,
    INCHIKEY,
    MOA_LIST,
    MODALITY,
    PERT_INAME,
    PLATE,
    ROLE,
    SMILES,
    SOURCE,
    TARGET_LIST,
    TIMEPOINT,
    WELL,
    Modality,
    Role,
)
from morphoclip.errors import InputError, example_of
from morphoclip.perturbations.control_words import roles_of
from morphoclip.perturbations.doses import read_doses
from morphoclip.perturbations.missing_values import with_missing
from morphoclip.perturbations.well_columns import COLUMNS, FILE, called, with_our_columns
from morphoclip.table_checks import refuse_lines
from morphoclip.well_names import plate_name, well_name, well_position

logger = logging.getLogger(__name__)

_DATE_OR_TIME = r"\d{4}-\d\d-\d\d([ T].*)?|\d\d?:\d\d(:\d\d)?(\.\d+)?|-?\d+ days?\b.*"
_OF_PLATES = (CELL_TYPE, CELL_LINE, TIMEPOINT, DENSITY, SOURCE, BATCH)
_OF_PERTURBATIONS = (
    ROLE,
    PERT_INAME,
    GENE,
    TARGET_LIST,
    MOA_LIST,
    SMILES,
    INCHIKEY,
    DESCRIPTION,
)


def read_wells_table(table: pd.DataFrame, names: Mapping[str, str]) -> pd.DataFrame:
    """One row per well with all that the table says of it, in our columns.

    Args:
        table: As it was written, all text.
        names: What the table calls a column of ours, where it is not that.

    Raises:
        InputError: A column is missing or unclear, or a row cannot be used.
    """
    wells = with_missing(with_our_columns(table, names), FILE)
    wells.index = pd.RangeIndex(2, len(wells) + 2, name="line")  # as a spreadsheet counts them
    wells = wells.dropna(how="all")
    if wells.empty:
        raise InputError(f"{FILE} has no row")
    for column in COLUMNS.values():
        if column not in wells:
            wells[column] = pd.Series(None, index=wells.index, dtype="str")
    wells[PLATE] = wells[PLATE].map(plate_name, na_action="ignore").astype("str")
    _refuse_dates(wells)
    wells = _with_places(wells)
    wells[ROLE] = roles_of(wells)
    wells[MODALITY] = _modalities(wells)
    wells[TIMEPOINT] = _hours(wells)
    wells[[GENE, TARGET_LIST]] = wells[[GENE, TARGET_LIST]].apply(lambda c: c.str.upper())
    wells = _with_lists_joined(wells)
    _refuse_unclear(wells)
    _refuse_contradictions(wells)
    return read_doses(_named(wells), FILE).reset_index(drop=True)


def _refuse(rows: pd.DataFrame, what: str, remedy: str, column: str | None = None) -> None:
    """Raise the sentence for rows that cannot be used, with what they hold in a column."""
    cells = rows[column] if column else pd.Series(None, index=rows.index, dtype="object")
    refuse_lines(cells, f"row(s) {what}", FILE, remedy)


def _refuse_dates(wells: pd.DataFrame) -> None:
    """Excel turns names such as MARCH1 and SEPT2 into dates."""
    for column in (BROAD_SAMPLE, PERT_INAME, GENE, TARGET_LIST):
        _refuse(
            wells[wells[column].str.fullmatch(_DATE_OR_TIME, na=False)],
            f"hold a date or a time in the column {called(column)}",
            "Excel makes dates of names such as MARCH1: format the column as text, then type the "
            "names again",
            column,
        )


def _with_places(wells: pd.DataFrame) -> pd.DataFrame:
    """Plates and wells, each well once."""
    _refuse(wells[wells[PLATE].isna()], "have no plate", "fill the barcode in on every row")
    by_name = wells[WELL].notna()
    by_number = wells["row"].notna() & wells["column"].notna()
    _refuse(wells[~by_name & ~by_number], "have no well", "fill in well, or row and column")
    places = wells[WELL].where(by_name, wells["row"] + " " + wells["column"])
    named = places.map(_well_or_none).astype("str")
    _refuse(
        wells.assign(place=places)[named.isna()],
        "have a well that is none",
        "wells read A01 to P24 (AF48 on plates of 1536)",
        "place",
    )
    numbered = (wells["row"] + " " + wells["column"]).where(by_name & by_number)
    other = numbered.map(_well_or_none, na_action="ignore").astype("str")
    _refuse(
        wells.assign(place=places + ", row and column " + numbered)[
            other.notna() & (other != named)
        ],
        "have a well that is not that of their row and column",
        "keep one of the two",
        "place",
    )
    wells = wells.assign(**{WELL: named})
    repeated = wells[wells.duplicated([PLATE, WELL], keep=False)]
    if len(repeated):
        first = repeated[[PLATE, WELL]].iloc[0]
        same = repeated[(repeated[PLATE] == first[PLATE]) & (repeated[WELL] == first[WELL])]
        raise InputError(
            f"{FILE} lists {len(repeated.drop_duplicates([PLATE, WELL]))} well(s) more than once, "
            f"e.g. {first[PLATE]} {first[WELL]} in lines {' and '.join(map(str, same.index[:3]))}; "
            "keep one row per well"
        )
    return wells


def _well_or_none(place: str) -> str | None:
    numbers = re.fullmatch(r"(\d{1,2}) (\d{1,2})", place)
    try:
        if numbers:
            return well_name(int(numbers[1]), int(numbers[2]))
        return well_name(*well_position(place.replace(" ", "")))
    except InputError:
        return None


def _modalities(wells: pd.DataFrame) -> pd.Series:
    """Of each well, from its row or else its plate; one per plate."""
    words = wells[MODALITY].str.lower()
    _refuse(
        wells[words.notna() & ~words.isin(list(Modality))],
        "have a word in the column modality that is not known",
        f"known are {', '.join(Modality)}",
        MODALITY,
    )
    if words.isna().all():
        logger.info("%s has no column modality: its perturbations are read as compounds", FILE)
        return words.fillna(str(Modality.COMPOUND))
    of_plate = words.groupby(wells[PLATE]).agg(lambda found: sorted(set(found.dropna())))
    mixed = of_plate[of_plate.map(len) != 1]
    if len(mixed):
        found = mixed.iloc[0]
        raise InputError(
            f"{FILE}: {len(mixed)} plate(s) do not have one modality, e.g. {mixed.index[0]} has "
            f"{example_of(found) or 'none'}; negative controls and empty wells share that of their "
            "plate"
        )
    return wells[PLATE].map(of_plate.str[0]).astype("str")


def _hours(wells: pd.DataFrame) -> pd.Series:
    text = wells[TIMEPOINT].str.lower().str.replace(r"\s*(h|hrs?|hours?)$", "", regex=True)
    hours = pd.to_numeric(text, errors="coerce")
    _refuse(
        wells[text.notna() & ~((hours >= 0) & np.isfinite(hours))],
        "have a timepoint that is no number of hours",
        "write hours, as in 48",
        TIMEPOINT,
    )
    return hours.map(lambda number: f"{number:g}", na_action="ignore").astype("str")


def _with_lists_joined(wells: pd.DataFrame) -> pd.DataFrame:
    """Several targets or mechanisms of a cell, however they are set apart, as ``A|B``."""
    for column in (TARGET_LIST, MOA_LIST):
        wells[column] = wells[column].str.replace(r"\s*[|;]\s*", "|", regex=True).str.strip("|")
    wells[TARGET_LIST] = wells[TARGET_LIST].str.replace(r"\s*,\s*", "|", regex=True)
    single = wells[TARGET_LIST].where(~wells[TARGET_LIST].str.contains("|", regex=False, na=True))
    wells[GENE] = wells[GENE].fillna(single)
    return wells


def _refuse_unclear(wells: pd.DataFrame) -> None:
    """Every well is a treatment, a control or empty, and cells of a plate are alike."""
    is_empty = wells[ROLE] == Role.EMPTY
    _refuse(
        wells[is_empty & wells[BROAD_SAMPLE].notna()],
        "are called empty and name a perturbation",
        "leave one of the two blank",
        BROAD_SAMPLE,
    )
    unsaid = wells[~is_empty & (wells[ROLE] != Role.NEGCON) & wells[BROAD_SAMPLE].isna()]
    _refuse(
        unsaid,
        "name no perturbation and no control",
        "write negcon or empty into the column control: an empty well is no control",
    )
    genetic = wells[ROLE].ne(Role.NEGCON) & ~is_empty & wells[MODALITY].isin(GENETIC)
    _refuse(
        wells[genetic & wells[[GENE, DESCRIPTION]].isna().all(axis=1)],
        "have no gene, on a plate of guides or constructs",
        "fill in gene, or mark negative controls as negcon",
        BROAD_SAMPLE,
    )
    for column in _OF_PLATES:
        kinds = wells.groupby(PLATE)[column].agg(lambda found: sorted(set(found.dropna())))
        mixed = kinds[kinds.map(len) > 1]
        if len(mixed):
            raise InputError(
                f"{FILE}: {len(mixed)} plate(s) have several values in {called(column)}, e.g. "
                f"{mixed.index[0]}: {example_of(mixed.iloc[0])}; a plate has one: give the wells "
                "of each a barcode of their own"
            )
    for column in _OF_PLATES:  # a cell that was filled in once per plate
        wells[column] = wells.groupby(PLATE)[column].transform("first")


def _named(wells: pd.DataFrame) -> pd.DataFrame:
    """Names of what has none: its ID, unless a structure describes it."""
    needs_name = ~wells[ROLE].isin([Role.EMPTY, Role.NEGCON]) & ~wells[MODALITY].isin(GENETIC)
    nameless = needs_name & wells[[PERT_INAME, DESCRIPTION, SMILES]].isna().all(axis=1)
    if nameless.any():
        ids = wells.loc[nameless, BROAD_SAMPLE].drop_duplicates()
        logger.info(
            "%d perturbation(s) have no name; prompts call them by their ID: %s",
            len(ids),
            example_of(ids),
        )
    wells[PERT_INAME] = wells[PERT_INAME].mask(nameless, wells[BROAD_SAMPLE])
    return wells


def _refuse_contradictions(wells: pd.DataFrame) -> None:
    """One perturbation has one name, one structure and so on; blanks are filled from other rows."""
    unnamed = (wells[ROLE] == Role.NEGCON) & wells[BROAD_SAMPLE].isna()
    wells[BROAD_SAMPLE] = wells[BROAD_SAMPLE].mask(unnamed, "negcon")
    keys = [MODALITY, BROAD_SAMPLE]
    given = wells[wells[ROLE] != Role.EMPTY]
    for column in _OF_PERTURBATIONS:
        kinds = given.groupby(keys)[column].nunique()
        several = kinds[kinds > 1]
        if len(several):
            sample = several.index[0][1]
            rows = given[given[BROAD_SAMPLE] == sample].dropna(subset=[column])
            rows = rows.drop_duplicates(column)
            raise InputError(
                f"{FILE}: {len(several)} perturbation(s) have several values in {called(column)}, "
                f"e.g. {sample} in lines {' and '.join(map(str, rows.index[:3]))}: "
                f"{example_of(rows[column])}; one ID is one perturbation"
            )
        wells.loc[given.index, column] = given.groupby(keys)[column].transform("first")
