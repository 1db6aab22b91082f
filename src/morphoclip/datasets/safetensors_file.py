"""A ``.safetensors`` file: nothing but tensors, and text in its header."""

from pathlib import Path
from typing import Any

from kedro.io import AbstractDataset
from kedro.utils import load_obj

from morphoclip.errors import InputError
from morphoclip.files import written_whole


class SafetensorsDataset(AbstractDataset[Any, Any]):
    """A class that turns itself into tensors and text.

    ``codec`` names a class with ``to_safetensors()`` and ``from_safetensors(tensors, header)``.
    """

    def __init__(
        self, *, filepath: str, codec: str, metadata: dict[str, Any] | None = None
    ) -> None:
        self._filepath = Path(filepath)
        self._codec = codec
        self.metadata = metadata

    def load(self) -> Any:
        from safetensors import SafetensorError, safe_open

        try:
            with safe_open(self._filepath, framework="pt") as file:
                tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
                header = file.metadata() or {}
            return load_obj(self._codec).from_safetensors(tensors, header)
        except (SafetensorError, ValueError) as error:
            raise InputError(
                f"{self._filepath.name} cannot be used ({error}); delete it and make it again"
            ) from error

    def save(self, data: Any) -> None:
        from safetensors.torch import save_file

        tensors, header = data.to_safetensors()
        with written_whole(self._filepath) as path:
            save_file(tensors, path, metadata=header)

    def _exists(self) -> bool:
        return self._filepath.exists()

    def _describe(self) -> dict[str, Any]:
        return {"filepath": str(self._filepath)}
