"""AnnData in an ``.h5ad`` file."""

from pathlib import Path, PurePosixPath
from typing import TYPE_CHECKING, Any

from kedro.io import AbstractVersionedDataset, Version

from morphoclip.files import written_whole

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
        with written_whole(Path(self._get_save_path())) as path:
            data.write_h5ad(path, compression="gzip")

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath), "version": self._version}


def _exists(path: str) -> bool:
    return Path(path).exists()
