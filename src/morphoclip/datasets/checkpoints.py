"""The folder of checkpoints, as the store that the trainer writes to."""

from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

if TYPE_CHECKING:
    from morphoclip.training.checkpoints import CheckpointStore


class CheckpointsDataset(AbstractDataset[NoReturn, "CheckpointStore"]):
    """Loads a `CheckpointStore`; checkpoints are written through it, not saved at a node's end."""

    def __init__(self, *, path: str, metadata: dict[str, Any] | None = None) -> None:
        self._path = Path(path)
        self.metadata = metadata

    def load(self) -> "CheckpointStore":
        from morphoclip.training.checkpoints import (
            CheckpointStore,
        )  # torch, which others need not wait for

        return CheckpointStore(self._path)

    def save(self, data: NoReturn) -> None:  # noqa: ARG002 - Kedro's signature
        raise DatasetError("checkpoints are written by the trainer, through the loaded store")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path)}
