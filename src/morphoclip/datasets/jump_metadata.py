"""A folder with JUMP's production metadata, each table read when it is asked for."""

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

import fsspec
import pandas as pd
from kedro.io import AbstractDataset, DatasetError

from morphoclip.errors import InputError
from morphoclip.perturbations.jump_production import TABLES
from morphoclip.remote.stores import options_for


class JumpMetadataDataset(AbstractDataset[Any, Mapping[str, Callable[[], pd.DataFrame]]]):
    """``<table>.csv.gz`` or ``<table>.csv`` of a folder or address; {} with ``path: null``."""

    def __init__(
        self,
        *,
        path: str | None,
        fs_args: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._path = path
        self._fs_args = options_for(path or "", fs_args or {})
        self.metadata = metadata

    def load(self) -> Mapping[str, Callable[[], pd.DataFrame]]:
        if self._path is None:
            return {}
        filesystem, folder = fsspec.core.url_to_fs(self._path, **self._fs_args)
        found: dict[str, Callable[[], pd.DataFrame]] = {}
        for name in TABLES:
            for ending in (".csv.gz", ".csv"):
                place = f"{folder.rstrip('/')}/{name}{ending}"
                if name not in found and filesystem.exists(place):
                    found[name] = partial(_read, filesystem, place)
        return found

    def save(self, data: Any) -> None:  # noqa: ARG002 - the signature is Kedro's
        raise DatasetError("JUMP's metadata are read-only")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"path": self._path}


def _read(filesystem: fsspec.AbstractFileSystem, place: str) -> pd.DataFrame:
    try:
        with filesystem.open(place, "rb", compression="infer") as file:
            return pd.read_csv(file, dtype="str", keep_default_na=False)
    except (OSError, EOFError, ValueError) as error:
        raise InputError(
            f"{place.rpartition('/')[2]} of JUMP's metadata cannot be read "
            f"({str(error).splitlines()[0]}); fetch it again"
        ) from error
