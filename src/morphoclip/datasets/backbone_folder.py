"""Folders of vision backbones, as transformers' ``save_pretrained`` writes them."""

import json
import os
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from morphoclip.backbones.image.base import LoadedModel


class BackboneFoldersDataset(AbstractDataset[Mapping[str, LoadedModel], NoReturn]):
    """One folder per model below ``path``; written whole or not at all, read by its path."""

    def __init__(self, *, path: str, metadata: dict[str, Any] | None = None) -> None:
        self._path = Path(path)
        self.metadata = metadata

    def save(self, data: Mapping[str, LoadedModel]) -> None:
        for name, loaded in data.items():
            folder = self._path / name
            partial = folder.with_name(f".{name}.{os.getpid()}.partial")
            model: Any = loaded.model
            model.save_pretrained(partial)
            colours = {"image_mean": loaded.mean, "image_std": loaded.sd}
            (partial / "preprocessor_config.json").write_text(json.dumps(colours))
            shutil.rmtree(folder, ignore_errors=True)
            partial.rename(folder)

    def load(self) -> NoReturn:
        raise DatasetError("give the folder as image_features.backbone.model_id")

    def _exists(self) -> bool:
        return self._path.exists()

    def _describe(self) -> dict[str, Any]:
        return {"path": str(self._path)}
