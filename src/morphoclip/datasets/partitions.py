"""Folders of files: partitions that load {} when empty, and tables that are kept plate by plate."""

import urllib.parse
from collections.abc import Mapping
from copy import deepcopy
from pathlib import Path
from typing import Any

import pandas as pd
from kedro.io import AbstractDataset
from kedro_datasets._typing import TablePreview
from kedro_datasets.partitions import PartitionedDataset

from morphoclip.files import PARTIAL, written_whole
from morphoclip.loaders import Extent, Listing, extent_of
from morphoclip.remote.stores import options_for


class Partitions(PartitionedDataset):
    """Kedro's partitioned dataset for work that can be interrupted.

    An empty or absent folder loads as ``{}``; each file is written under another name and renamed,
    so that a killed run leaves no half file that looks whole. ``must_exist`` says whether a run
    that needs it should stop when there is none; where ``unless`` names something that takes its
    place, it loads as ``{}`` and nothing is listed. ``endings`` are those of files that are read,
    where there are several, and the first is written; names go without them.
    """

    def __init__(
        self,
        *,
        must_exist: bool = True,
        unless: str | None = None,
        endings: list[str] | None = None,
        **arguments: Any,
    ) -> None:
        options = options_for(arguments["path"], arguments.pop("fs_args", None) or {})
        super().__init__(**arguments, fs_args=options or None)
        self._endings = tuple(endings or ("",))
        self._must_exist = must_exist and not unless
        self._is_replaced = bool(unless)

    def load(self) -> Listing:
        self._invalidate_caches()
        found = {self._name_of(path): _Loader(self, path) for path in self._list_partitions()}
        return Listing(found, self.load)

    def _name_of(self, path: str) -> str:
        name: str = self._path_to_partition(path)
        return next(name.removesuffix(end) for end in self._endings if name.endswith(end))

    def save(self, data: dict[str, Any]) -> None:
        for partition, value in sorted(data.items()):
            path = f"{self._partition_to_path(partition)}{self._endings[0]}"
            self._save_whole(path, value() if callable(value) else value)
        self._invalidate_caches()

    def _save_whole(self, path: str, value: Any) -> None:
        if self._protocol != "file" or getattr(self._dataset_type, "writes_whole", False):
            self.file_at(path).save(value)
            return
        with written_whole(Path(path)) as partial:
            self.file_at(str(partial)).save(value)

    def file_at(self, path: str) -> AbstractDataset[Any, Any]:
        """The dataset of one file."""
        arguments = deepcopy(self._dataset_config) | {self._filepath_arg: self._join_protocol(path)}
        dataset: AbstractDataset[Any, Any] = self._dataset_type(**arguments)
        return dataset

    def _list_partitions(self) -> list[str]:
        if self._is_replaced or not self._filesystem.exists(self._normalized_path):
            return []
        found = (path for path in super()._list_partitions() if not path.endswith(PARTIAL))
        return [path for path in found if path.endswith(self._endings)]

    def _exists(self) -> bool:
        return not self._must_exist or bool(self._list_partitions())


class _Loader:
    """Loads one partition when it is called."""

    def __init__(self, partitions: Partitions, path: str) -> None:
        self._partitions, self._path = partitions, path

    def __call__(self) -> Any:
        return self._partitions.file_at(self._path).load()

    def extent_of(self, content: memoryview) -> Extent | None:
        """Where these bytes lie in its file; None where files of its kind cannot tell."""
        return extent_of(self._partitions.file_at(self._path), content)


class PlateTablesDataset(AbstractDataset[Mapping[str, pd.DataFrame], pd.DataFrame | None]):
    """Tables by plate, one Parquet file each; loads as one table.

    Saving replaces the files of these plates and leaves the others: runs on different plates do
    not undo each other. A plate without rows keeps an empty file. With ``optional``, a folder
    without files loads None.
    """

    def __init__(
        self,
        *,
        path: str,
        optional: bool = False,
        nrows: int = 5,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._path = Path(path)
        self._optional = optional
        self._nrows = nrows
        self.metadata = metadata

    def load(self) -> pd.DataFrame | None:
        files = self._files()
        if self._optional and not files:
            return None
        tables = [pd.read_parquet(path, page_checksum_verification=True) for path in files]
        return pd.concat(tables, ignore_index=True)

    def save(self, data: Mapping[str, pd.DataFrame]) -> None:
        for plate, rows in data.items():
            path = self._path / f"{urllib.parse.quote(plate, safe='')}.parquet"
            with written_whole(path) as partial:
                rows.to_parquet(partial, write_page_checksum=True)

    def preview(self) -> TablePreview:
        table = self.load()
        head: Any = {} if table is None else table.head(self._nrows).to_dict(orient="split")
        return TablePreview(head)

    def _files(self) -> list[Path]:
        return sorted(self._path.glob("*.parquet"))

    def _exists(self) -> bool:
        return self._optional or bool(self._files())

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path)}
