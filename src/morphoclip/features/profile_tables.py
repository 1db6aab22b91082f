"""Tables of profiles that other tools wrote: pycytominer's, CytoTable's, and the like."""

import logging
import re
from collections.abc import Iterable, Iterator

import numpy as np
import pandas as pd

from morphoclip.columns import PLATE, WELL
from morphoclip.errors import InputError, example_of
from morphoclip.table_checks import require_rows, wells_of

logger = logging.getLogger(__name__)

_PLATE_COLUMNS = (
    PLATE,
    "Image_Metadata_Plate",
    "Metadata_Assay_Plate_Barcode",
    "Metadata_plate",
    "Metadata_Barcode",
    "plate",
)
_WELL_COLUMNS = (
    WELL,
    "Image_Metadata_Well",
    "Metadata_well_position",
    "Metadata_well",
    "Metadata_Position",
    "well",
)
_OF_CELLS = ("objectnumber", "object_number", "imagenumber", "image_number", "tablenumber")
"""Words in the names of columns that number cells or their images: rows are of cells."""

_INDEX = re.compile(r"(?i)|unnamed: ?\d+\w*|index|level_\d+|__index_level_\d+__|row(_?id)?")
_PLACE_OR_DOSE = re.compile(
    r"(?i)(well|plate|assay_plate)?_?(row|col|column|position|number|barcode|well|plate|site|field)"
    r"|(dose|conc|concentration|timepoint|time_point|replicate|batch)(_?(um|nm|h|hours))?"
)
"""Names of columns that say where a well is or what was given, whatever comes before Metadata_."""
_LARGEST = 1e18
"""Beyond it, squares have no place in single precision."""
_ROWS_THAT_SHOW_A_COUNT = 5
_NO_FEATURES = ("Metadata_", "Image_Metadata_")


def with_places(table: pd.DataFrame, file: str) -> pd.DataFrame:
    """A table of profiles with plate and well under our names, one row per well.

    Rows of single cells, as CytoTable writes them, become their wells' medians.

    Args:
        table: ``Metadata_*`` columns and features.
        file: What sentences call the table.

    Raises:
        InputError: No column says where the wells are, or a row has none.
    """
    renamed = table.rename(columns=dict(_renamed(table, file)))
    require_rows(renamed, {PLATE, WELL}, file)
    renamed = renamed.astype({PLATE: "str", WELL: "str"}).reset_index(drop=True)
    blank = renamed[PLATE].isna() | renamed[PLATE].str.strip().isin(["", "nan"])
    if blank.any():
        raise InputError(
            f"{file} has {int(blank.sum())} row(s) without a plate, e.g. line "
            f"{int(blank.idxmax()) + 2}; fill them in, or delete the rows"
        )
    renamed[WELL] = wells_of(renamed[WELL], file)
    repeated = renamed.duplicated([PLATE, WELL]).any()
    if repeated and any(word in name.lower() for name in table for word in _OF_CELLS):
        return _wells_of_cells(renamed, file)
    return renamed


def feature_columns(table: pd.DataFrame) -> list[str]:
    """Columns of real numbers that are no metadata and do not count rows."""
    return [
        name
        for name in _numbers(table)
        if not _PLACE_OR_DOSE.fullmatch(str(name))
        and not _counts_rows(name, table[name])
        and not _is_huge(table[name])
    ]


def _numbers(table: pd.DataFrame) -> list[str]:
    """Columns of real numbers that are no metadata."""
    numbers = table.select_dtypes("number", exclude=["complex", "timedelta"]).columns
    return [name for name in numbers if not str(name).startswith(_NO_FEATURES)]


def _counts_rows(name: object, column: pd.Series) -> bool:
    """Whether a column is an index that a program wrote along: unnamed, or 0, 1, 2, ... by row."""
    if _INDEX.fullmatch(str(name)):
        return True
    steps = np.diff(column.to_numpy(dtype=np.float64))
    return len(steps) >= _ROWS_THAT_SHOW_A_COUNT and bool((steps == 1).all())


def _is_huge(column: pd.Series) -> bool:
    values = np.abs(column.to_numpy(dtype=np.float64, na_value=np.nan))
    return bool((values[np.isfinite(values)] > _LARGEST).any())


def log_what_is_no_feature(table: pd.DataFrame, finite: Iterable[str], file: str) -> None:
    """Say which columns that are no metadata are passed over, how many, and why."""
    features, kept = feature_columns(table), set(finite)
    named = [name for name in table if not str(name).startswith(_NO_FEATURES)]
    numbers = set(_numbers(table))
    others = [name for name in named if name in numbers and name not in set(features)]
    of_wells = [name for name in others if _PLACE_OR_DOSE.fullmatch(str(name))]
    huge = [name for name in others if name not in of_wells and _is_huge(table[name])]
    passed_over = {
        "say where a well is or what was given": of_wells,
        f"hold a number beyond {_LARGEST:g}": huge,
        "count rows": [name for name in others if name not in {*of_wells, *huge}],
        "hold no real numbers": [name for name in named if name not in numbers],
        "hold a value that is missing or not finite": [n for n in features if n not in kept],
    }
    for why, names in passed_over.items():
        if names:
            logger.warning(
                "%s: %d column(s) %s, and are no features: %s",
                file,
                len(names),
                why,
                example_of(names),
            )


def _renamed(table: pd.DataFrame, file: str) -> Iterator[tuple[str, str]]:
    for ours, theirs in ((PLATE, _PLATE_COLUMNS), (WELL, _WELL_COLUMNS)):
        found = [name for name in theirs if name in table]
        if not found:
            raise InputError(
                f"{file} lacks the column(s) {ours} (or {', '.join(theirs[1:3])}); it has "
                f"{example_of(table.columns, limit=6)}"
            )
        yield found[0], ours


def _wells_of_cells(cells: pd.DataFrame, file: str) -> pd.DataFrame:
    numbered = [
        name for name in feature_columns(cells) if any(w in name.lower() for w in _OF_CELLS)
    ]
    features = [name for name in feature_columns(cells) if name not in set(numbered)]
    wells = cells.groupby([PLATE, WELL])[features].median().reset_index()
    logger.info(
        "%s holds %d rows of single cells; profiles are the medians of %d wells",
        file,
        len(cells),
        len(wells),
    )
    return wells
