"""Tables of profiles that other tools wrote: pycytominer's, CytoTable's, and the like."""

import logging
from collections.abc import Iterator

import pandas as pd

from morphoclip.columns import PLATE, WELL
from morphoclip.errors import InputError, example_of
from morphoclip.well_names import well_name, well_position

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
    renamed = renamed.astype({PLATE: "str", WELL: "str"})
    blank = renamed[[PLATE, WELL]].isna().any(axis=1)
    if blank.any():
        raise InputError(f"{file} has {int(blank.sum())} row(s) without a plate or a well")
    names = {text: well_name(*well_position(text)) for text in renamed[WELL].unique()}
    renamed[WELL] = renamed[WELL].map(names)
    repeated = renamed.duplicated([PLATE, WELL]).any()
    if repeated and any(word in name.lower() for name in table for word in _OF_CELLS):
        return _wells_of_cells(renamed, file)
    return renamed


def feature_columns(table: pd.DataFrame) -> list[str]:
    """Columns of numbers that are no metadata."""
    numbers = table.select_dtypes("number").columns
    return [name for name in numbers if not str(name).startswith(_NO_FEATURES)]


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
