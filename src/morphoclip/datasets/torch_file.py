"""A ``.pt`` file: atomic, safe to load, versioned, previewed."""

import json
from pathlib import Path, PurePosixPath
from typing import Any

import fsspec
from kedro.io.core import (
    AbstractVersionedDataset,
    DatasetError,
    Version,
    get_filepath_str,
    get_protocol_and_path,
)
from kedro.utils import load_obj
from kedro_datasets._typing import JSONPreview

from morphoclip.errors import InputError
from morphoclip.files import require_intact, shown_path, start_in, written_whole
from morphoclip.loaders import Extent, file_stamp


class TorchFileDataset(AbstractVersionedDataset[Any, Any]):
    """Tensors, numbers and text in nested dictionaries, or a class that turns itself into them.

    ``codec`` names a class with ``to_payload()`` and ``from_payload(payload)``; ``mmap`` maps the
    file instead of reading it; with ``on_demand`` what is loaded is a function that reads the file
    when it is called. Loads with ``weights_only=True``, to the CPU. torch is imported when a file
    is read or written: a run that does neither does not wait for it. All bytes are held against the
    checksums in the file.
    """

    writes_whole = True

    def __init__(
        self,
        *,
        filepath: str,
        codec: str | None = None,
        mmap: bool = False,
        on_demand: bool = False,
        version: Version | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        protocol, path = get_protocol_and_path(filepath, version)
        if protocol != "file":
            raise DatasetError(f"{filepath}: .pt files are read and written on local disks")
        filesystem = fsspec.filesystem("file")
        self._codec = codec
        self._mmap = mmap
        self._on_demand = on_demand
        self.metadata = metadata
        super().__init__(
            filepath=PurePosixPath(path),
            version=version,
            exists_function=filesystem.exists,
            glob_function=filesystem.glob,
        )

    def load(self) -> Any:
        return self._read if self._on_demand else self._read()

    def _read(self) -> Any:
        payload = self._payload(mmap=self._mmap)
        if self._codec is None:
            return payload
        try:
            return load_obj(self._codec).from_payload(payload)
        except Exception as error:  # what a payload lacks or has too much of, in any codec's words
            reason = error if isinstance(error, InputError) else f"{type(error).__name__}: {error}"
            raise InputError(
                f"{self._shown} does not hold what it should ({str(reason).splitlines()[0]}); "
                "delete it and run the pipeline that makes it"
            ) from error

    def _payload(self, *, mmap: bool) -> Any:
        import torch

        path = Path(get_filepath_str(self._get_load_path(), "file"))
        require_intact(path)
        try:
            return torch.load(path, map_location="cpu", mmap=mmap, weights_only=True)
        except Exception as error:  # pickles fail in many ways
            raise InputError(
                f"{self._shown} holds something else than tensors, numbers and text, and none of "
                "it was run; delete it and run the pipeline that makes it"
            ) from error

    def extent_of(self, content: memoryview) -> Extent | None:
        """Where a tensor of these bytes lies in the file."""
        path = Path(get_filepath_str(self._get_load_path(), "file")).resolve()
        start = start_in(path, content)
        return None if start is None else Extent(path, start, file_stamp(path.stat()))

    @property
    def _shown(self) -> str:
        return shown_path(Path(get_filepath_str(self._get_load_path(), "file")))

    def save(self, data: Any) -> None:
        import torch

        payload = data.to_payload() if self._codec else data
        path = Path(get_filepath_str(self._get_save_path(), "file"))
        with written_whole(path) as partial, partial.open("wb") as file:
            torch.save(payload, file)  # given a path, torch writes its name into the file

    def preview(self) -> JSONPreview:
        return JSONPreview(json.dumps(_outline(self._payload(mmap=False))))

    def _describe(self) -> dict[str, Any]:
        return {"filepath": self._filepath, "mmap": self._mmap, "version": self._version}

    def _exists(self) -> bool:
        try:
            return Path(get_filepath_str(self._get_load_path(), "file")).exists()
        except DatasetError:
            return False


def _outline(value: Any, depth: int = 0) -> Any:
    if hasattr(value, "shape"):
        return f"{tuple(value.shape)} {str(value.dtype).removeprefix('torch.')}"
    if isinstance(value, dict) and depth < 3:
        return {str(key): _outline(item, depth + 1) for key, item in list(value.items())[:20]}
    return str(value)[:80]
