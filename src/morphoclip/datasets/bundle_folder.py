"""A packed model: one folder of safetensors, JSON, Parquet and a model card."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset


class BundleFolder(AbstractDataset[Any, Any]):
    """Saves a `PackedModel`, loads a `Bundle`; with ``on_demand`` a function that loads it."""

    def __init__(
        self, *, path: str, on_demand: bool = False, metadata: dict[str, Any] | None = None
    ) -> None:
        self._path = Path(path)
        self._on_demand = on_demand
        self.metadata = metadata

    def load(self) -> Any:
        return self._read if self._on_demand else self._read()

    def _read(self) -> Any:
        from morphoclip.bundle.loaded import Bundle

        return Bundle(self._path)

    def save(self, data: Any) -> None:
        from morphoclip.bundle.folder import write_bundle

        write_bundle(data, self._path)

    def _exists(self) -> bool:
        return self._on_demand or self._path.is_dir()

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path)}
