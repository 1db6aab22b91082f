"""A table made outside the project, by the path that a parameter names."""

from pathlib import PurePosixPath
from typing import Any

import fsspec
import pandas as pd
from kedro.io import AbstractDataset, DatasetError

from morphoclip.errors import InputError
from morphoclip.files import require_regular
from morphoclip.table_checks import refuse_repeated_columns, with_named_index


class ExternalTableDataset(AbstractDataset[pd.DataFrame, pd.DataFrame | None]):
    """CSV, TSV (compressed or not), Parquet or a folder of these; ``Metadata_*`` columns are text.

    With ``filepath: null`` no file was named, and it loads None. Read-only.
    """

    def __init__(self, *, filepath: str | None, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = filepath
        self.metadata = metadata

    def load(self) -> pd.DataFrame | None:
        if self._filepath is None:
            return None
        filesystem, place = fsspec.core.url_to_fs(self._filepath)
        if not filesystem.isdir(place):
            return _read(self._filepath)
        found = [path for path in sorted(filesystem.find(place)) if _is_table(path)]
        if not found:
            raise InputError(
                f"the folder {PurePosixPath(place).name} holds no .csv, .tsv or .parquet file"
            )
        tables = [_read(filesystem.unstrip_protocol(path)) for path in found]
        return pd.concat(tables, ignore_index=True)

    def save(self, data: pd.DataFrame) -> None:  # noqa: ARG002 - the signature is Kedro's
        raise DatasetError("external tables are read-only")

    def _exists(self) -> bool:
        if self._filepath is None:
            return True
        filesystem, path = fsspec.core.url_to_fs(self._filepath)
        return bool(filesystem.exists(path))

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath}


def _is_table(path: str) -> bool:
    return bool({".csv", ".tsv", ".txt", ".parquet"} & set(PurePosixPath(path).suffixes))


def _read(place: str) -> pd.DataFrame:
    suffixes = PurePosixPath(place).suffixes
    require_regular(place)
    try:
        if ".parquet" in suffixes:
            table = with_named_index(pd.read_parquet(place))
            named = [column for column in table if str(column).startswith("Metadata_")]
            return table.astype(dict.fromkeys(named, "str"))
        columns = [str(name) for name in _read_text(place, suffixes, header=None, nrows=1).iloc[0]]
        _refuse_header(columns, PurePosixPath(place).name)
        named = [column for column in columns if column.startswith("Metadata_")]
        table = _read_text(place, suffixes, dtype=dict.fromkeys(named, "str"))
        if not isinstance(table.index, pd.RangeIndex):
            raise ValueError("rows have more cells than the header")
        return table
    except InputError:
        raise
    except (OSError, ValueError) as error:
        raise InputError(
            f"{PurePosixPath(place).name} cannot be read as a table "
            f"({str(error).splitlines()[0]}); give a .csv, .tsv or .parquet file"
        ) from error


def _refuse_header(columns: list[str], file: str) -> None:
    refuse_repeated_columns([name for name in columns if name != "nan"], file)
    if len(columns) == 1 and (";" in columns[0] or "\t" in columns[0]):
        raise InputError(
            f"the columns of {file} are set apart by {';' if ';' in columns[0] else 'tabs'}: save "
            "it with commas as .csv, or with tabs as .tsv"
        )


def _read_text(place: str, suffixes: list[str], **options: Any) -> pd.DataFrame:
    with fsspec.open(place, "rt", compression="infer", encoding="utf-8") as file:
        return pd.read_csv(file, sep="," if ".csv" in suffixes else "\t", **options)
