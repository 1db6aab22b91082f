"""Folders of vision backbones, as transformers' ``save_pretrained`` writes them."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from morphoclip.backbones.image.base import LoadedModel
from morphoclip.files import written_whole


class BackboneFoldersDataset(AbstractDataset[Mapping[str, LoadedModel], NoReturn]):
    """One folder per model below ``path``; written whole or not at all, read by its path."""

    def __init__(self, *, path: str, metadata: dict[str, Any] | None = None) -> None:
        self._path = Path(path)
        self.metadata = metadata

    def save(self, data: Mapping[str, LoadedModel]) -> None:
        for name, loaded in data.items():
            model: Any = loaded.model
            with written_whole(self._path / name) as folder:
                model.save_pretrained(folder)
                colours = {"image_mean": loaded.mean, "image_std": loaded.sd}
                (folder / "preprocessor_config.json").write_text(json.dumps(colours))

    def load(self) -> NoReturn:
        raise DatasetError("give the folder as image_features.backbone.model_id")

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path)}
