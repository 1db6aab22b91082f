"""A file of bytes, as they are."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset


class BytesFile(AbstractDataset[bytes, bytes]):
    """What somebody else encoded; `Partitions` writes it under another name first."""

    def __init__(self, *, filepath: str, metadata: dict[str, Any] | None = None) -> None:
        self._filepath = Path(filepath)
        self.metadata = metadata

    def load(self) -> bytes:
        return self._filepath.read_bytes()

    def save(self, data: bytes) -> None:
        self._filepath.write_bytes(data)

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
