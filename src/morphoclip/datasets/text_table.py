"""A table of text: every value as it is written, nothing guessed to be missing."""

import csv
import io
from pathlib import PurePosixPath
from typing import Any

import fsspec
import pandas as pd
from kedro.io import AbstractDataset
from kedro_datasets._typing import TablePreview

from morphoclip.errors import InputError
from morphoclip.files import require_regular
from morphoclip.remote.stores import options_for
from morphoclip.table_checks import refuse_repeated_columns


class TextTableDataset(AbstractDataset[pd.DataFrame, pd.DataFrame | None]):
    """CSV (``.csv``) or TSV (anything else) on any fsspec path.

    With ``filepath: null`` it is an optional table that is not there, and loads None; so it is
    where ``unless`` names something that takes its place.
    """

    def __init__(
        self,
        *,
        filepath: str | None,
        unless: str | None = None,
        fs_args: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._filepath = None if unless else filepath
        self._fs_args = options_for(filepath or "", fs_args or {})
        self.metadata = metadata

    def load(self) -> pd.DataFrame | None:
        if self._filepath is None:
            return None
        options = {"mode": "rt", "encoding": "utf-8", "compression": "infer"} | self._fs_args
        require_regular(self._filepath)
        with fsspec.open(self._filepath, **options) as file:
            text = file.read()
        name = PurePosixPath(self._filepath).name
        header = next(csv.reader(text.splitlines()[:1], delimiter=self._separator), [])
        refuse_repeated_columns(header, name)
        table = pd.read_csv(
            io.StringIO(text), sep=self._separator, dtype=str, keep_default_na=False
        )
        if not isinstance(table.index, pd.RangeIndex):
            raise InputError(
                f"{name}: rows have more cells than the {len(header)} columns of its first line: a "
                "separator stands in a cell, or the header lacks a name"
            )
        return table

    def save(self, data: pd.DataFrame) -> None:
        with fsspec.open(self._filepath, mode="wt", auto_mkdir=True, **self._fs_args) as file:
            data.to_csv(file, sep=self._separator, index=False)

    def preview(self) -> TablePreview:
        table = self.load()
        head: Any = {} if table is None else table.head().to_dict(orient="split")
        return TablePreview(head)

    @property
    def _separator(self) -> str:
        return "," if ".csv" in PurePosixPath(self._filepath or "").suffixes else "\t"

    def _exists(self) -> bool:
        if self._filepath is None:
            return True
        filesystem, path = fsspec.core.url_to_fs(self._filepath, **self._fs_args)
        return bool(filesystem.exists(path))

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath}
