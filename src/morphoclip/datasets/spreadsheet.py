"""A table that a lab keeps: CSV, TSV, Parquet or Excel, every value as text."""

import csv
import io
from pathlib import PurePosixPath
from typing import Any

import fsspec
import numpy as np
import openpyxl
import pandas as pd
from kedro.io import AbstractDataset, DatasetError
from kedro_datasets._typing import TablePreview

from morphoclip.errors import InputError, example_of
from morphoclip.files import require_regular
from morphoclip.remote.stores import options_for
from morphoclip.table_checks import with_named_index


class SpreadsheetDataset(AbstractDataset[pd.DataFrame, pd.DataFrame | None]):
    """Read-only. With ``filepath: null`` no table was named, and it loads None."""

    def __init__(
        self,
        *,
        filepath: str | None,
        called: str,
        fs_args: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._filepath, self._called = filepath, called
        self._fs_args = options_for(filepath or "", fs_args or {})
        self.metadata = metadata

    def load(self) -> pd.DataFrame | None:
        if self._filepath is None:
            return None
        require_regular(self._filepath)
        with fsspec.open(self._filepath, "rb", compression="infer", **self._fs_args) as file:
            content = file.read()
        suffixes = {suffix.lower() for suffix in PurePosixPath(self._filepath).suffixes}
        try:
            if ".parquet" in suffixes:
                return _as_text(pd.read_parquet(io.BytesIO(content)))
            if suffixes & {".xlsx", ".xlsm"}:
                return self._from_excel(content)
            if suffixes & {".csv", ".tsv", ".txt"}:
                return _from_text(content.decode("utf-8-sig"))
        except (OSError, ValueError, KeyError, pd.errors.ParserError) as error:
            if isinstance(error, InputError):
                raise
            raise InputError(
                f"{self._called}, {self._name}, cannot be read as a table "
                f"({str(error).splitlines()[0]}); save it as CSV in UTF-8, or as Parquet or .xlsx"
            ) from error
        raise InputError(
            f"{self._called}, {self._name}, is no table that is read: save it as .csv, .tsv, "
            ".parquet or .xlsx"
        )

    def _from_excel(self, content: bytes) -> pd.DataFrame:
        try:
            book = openpyxl.load_workbook(io.BytesIO(content), data_only=True)
        except Exception as error:  # a damaged archive fails in many ways
            raise InputError(
                f"{self._called}, {self._name}, is no Excel file; save it again as .xlsx or CSV"
            ) from error
        sheet = book.worksheets[0]
        if sheet.merged_cells.ranges:
            raise InputError(
                f"{self._called}: the sheet {sheet.title} has {len(sheet.merged_cells.ranges)} "
                f"merged cell(s), e.g. {next(iter(sheet.merged_cells.ranges))}; unmerge them and "
                "fill in every row"
            )
        rows = [[_shown(cell) for cell in row] for row in sheet.iter_rows()]
        if not rows:
            raise InputError(f"{self._called}: the sheet {sheet.title}, the first, is empty")
        self._refuse_formulas_without_value(content, sheet)
        return _as_text(pd.DataFrame(rows[1:], columns=rows[0]))

    def _refuse_formulas_without_value(self, content: bytes, sheet: Any) -> None:
        """A formula that no spreadsheet has worked out would read as a blank."""
        formulas = openpyxl.load_workbook(io.BytesIO(content)).worksheets[0]
        blank = [
            cell.coordinate
            for row in formulas.iter_rows()
            for cell in row
            if cell.data_type == "f" and sheet[cell.coordinate].value is None
        ]
        if blank:
            raise InputError(
                f"{self._called}, {self._name}: {len(blank)} cell(s) are formulas without a value, "
                f"e.g. {blank[0]}; open and save the file in a spreadsheet, which works them out, "
                "or write the values"
            )

    def save(self, data: pd.DataFrame) -> None:  # noqa: ARG002 - the signature is Kedro's
        raise DatasetError("the table is read-only")

    def preview(self) -> TablePreview:
        table = self.load()
        head: Any = {} if table is None else table.head().to_dict(orient="split")
        return TablePreview(head)

    @property
    def _name(self) -> str:
        return PurePosixPath(self._filepath or "").name

    def _exists(self) -> bool:
        if self._filepath is None:
            return True
        filesystem, path = fsspec.core.url_to_fs(self._filepath, **self._fs_args)
        return bool(filesystem.exists(path))

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath}


def _from_text(text: str) -> pd.DataFrame:
    """Comma, semicolon or tab, whichever the first line has most of."""
    header = text.split("\n", 1)[0]
    separator = max(",;\t", key=header.count)
    lines = csv.reader(io.StringIO(text, newline=""), delimiter=separator, strict=True)
    try:
        rows = [row for row in lines if row]
    except csv.Error as error:
        raise ValueError(f"line {lines.line_num}: {error}") from error
    if not rows:
        raise ValueError("it is empty")
    names = [name.strip() for name in rows[0]]
    uneven = [number for number, row in enumerate(rows[1:], start=2) if len(row) != len(names)]
    if uneven:
        raise ValueError(
            f"{len(uneven)} row(s) have more or fewer cells than the {len(names)} columns, e.g. "
            f"row {uneven[0]}"
        )
    return _as_text(pd.DataFrame(rows[1:], columns=names))


def _as_text(table: pd.DataFrame) -> pd.DataFrame:
    """Values as they would be written: whole numbers without a point, nothing for missing ones."""
    table = with_named_index(table)
    names = [str(name) for name in table.columns]
    repeated = sorted({name for name in names if names.count(name) > 1 and name})
    if repeated:
        raise ValueError(f"two columns are called {example_of(repeated)}")
    text = {
        name: [_written(value) for value in table.iloc[:, place]]
        for place, name in enumerate(names)
        if name
    }
    return pd.DataFrame(text, dtype="str")


def _shown(cell: Any) -> Any:
    """What a cell holds; a share as the percentage that it shows."""
    value = cell.value
    if isinstance(value, int | float) and "%" in (cell.number_format or ""):
        return f"{value * 100:.10g}%"
    return "" if value is None else value


def _written(value: Any) -> str:
    if isinstance(value, list | tuple | dict | set | np.ndarray):
        raise ValueError(
            f"a cell holds several values, {value}: write one text, entries joined by |"
        )
    if isinstance(value, float) and value.is_integer():
        return str(int(value))
    return "" if value is None or value is pd.NA or value != value else str(value)
