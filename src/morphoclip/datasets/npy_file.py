"""A numpy array in a ``.npy`` file on any fsspec path, read only."""

from typing import Any, NoReturn

import fsspec
import numpy as np
from kedro.io import AbstractDataset, DatasetError
from numpy.typing import NDArray

from morphoclip.remote.stores import options_for


class NpyFileDataset(AbstractDataset[NoReturn, NDArray[Any]]):
    """Loads without pickles: a file that would run code is refused."""

    def __init__(
        self,
        *,
        filepath: str,
        fs_args: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._filepath = filepath
        self._fs_args = options_for(filepath, fs_args or {})
        self.metadata = metadata

    def load(self) -> NDArray[Any]:
        with fsspec.open(self._filepath, mode="rb", **self._fs_args) as file:
            array: NDArray[Any] = np.load(file, allow_pickle=False)
        return array

    def save(self, data: NoReturn) -> None:  # noqa: ARG002 - Kedro's signature
        raise DatasetError("illumination functions are read, not written")

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath}
