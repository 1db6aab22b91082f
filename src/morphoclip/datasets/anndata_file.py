"""AnnData in an ``.h5ad`` file."""

import os
from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractVersionedDataset, Version

if TYPE_CHECKING:
    from anndata import AnnData


class AnnDataFile(AbstractVersionedDataset["AnnData", "AnnData"]):
    """Written under another name and renamed, so that a killed run leaves no half file."""

    def __init__(
        self,
        *,
        filepath: str,
        version: Version | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        super().__init__(filepath=PurePosixPath(filepath), version=version, exists_function=_exists)
        self.metadata = metadata

    def load(self) -> "AnnData":
        import anndata

        return anndata.read_h5ad(self._get_load_path())

    def save(self, data: "AnnData") -> None:
        path = Path(self._get_save_path())
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_name(f".{path.name}.{os.getpid()}.partial")
        data.write_h5ad(partial, compression="gzip")
        partial.replace(path)

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "version": self._version}


def _exists(path: str) -> bool:
    return Path(path).exists()
