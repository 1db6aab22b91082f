"""Tables of the page as CSV."""

import csv
import io
import math
from typing import Any

import numpy as np
import pandas as pd

from morphoclip.columns import PLATE
from morphoclip.explore.data import ExploreData
from morphoclip.explore.views import answers_of
from morphoclip.explore.well_values import SIMILARITY, column_of


def download(data: ExploreData, table: str, *, q: str, kind: str, plate: str) -> bytes | None:
    """A table as CSV; None where there is no such table."""
    if table in ("treatments", "wells", "texts") and q:
        _, found = answers_of(data, q, kind)
        return as_csv(getattr(found, table))
    if table == "plate" and plate in data.index.plates:
        rows = np.flatnonzero((data.index.wells[PLATE] == plate).to_numpy())
        shown = data.index.labels_of(rows)
        for column in [*data.measured.columns, SIMILARITY]:
            shown[column] = column_of(data, rows, column).to_numpy()
        return as_csv(shown)
    return None


def as_csv(table: pd.DataFrame) -> bytes:
    """Rows as CSV. Text that a spreadsheet would run as a formula is quoted by an apostrophe."""
    buffer = io.StringIO()
    writer = csv.writer(buffer)
    writer.writerow(table.columns)
    for row in table.itertuples(index=False):
        writer.writerow([_harmless(value) for value in row])
    return buffer.getvalue().encode()


def _harmless(value: Any) -> Any:
    if value is None or value is pd.NA or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r"):
        return f"'{value}"
    return value
