"""The files of a bundle: written whole or not at all, each checked against its SHA-256."""

import hashlib
import os
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from torch import Tensor

from morphoclip import __version__
from morphoclip.backbones.adapter import Adapter
from morphoclip.backbones.config import TextBackboneConfig
from morphoclip.bundle.config import CONFIG_FILE, FORMAT, BundleConfig, ImageSettings
from morphoclip.bundle.weights import described, tensors_of
from morphoclip.columns import embedding_columns
from morphoclip.errors import InputError
from morphoclip.models.trained import TrainedModel

MODEL_FILE = "model.safetensors"
ADAPTER_FILE = "adapter.safetensors"
CARD_FILE = "README.md"
PROMPTS_FILE = "prompts.parquet"
TREATMENTS_FILE = "treatments.parquet"
WELLS_FILE = "wells.parquet"
PROFILES_FILE = "profiles.npy"


@dataclass(frozen=True)
class PackedModel:
    """What goes into a bundle.

    Attributes:
        model: The trained model.
        images: What turns images into its tokens; None where they were not made from images.
        text: What turns words into its text features.
        prompts: One row per distinct prompt of the training, with its embedding.
        treatments: Names, targets, mechanisms and structures of treatments.
        profiles: Reference profiles of wells with ``Metadata_*``, or None.
        adapter: Of the vision backbone, where there is one.
        card: The model card.
    """

    model: TrainedModel
    images: ImageSettings | None
    text: TextBackboneConfig
    prompts: pd.DataFrame
    treatments: pd.DataFrame
    profiles: pd.DataFrame | None
    adapter: Adapter | None
    card: str


def write_bundle(packed: PackedModel, folder: Path) -> None:
    """Write all files beside the folder, then put them in its place."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    partial = folder.with_name(f".{folder.name}.{os.getpid()}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    partial.mkdir()
    _write_tensors(tensors_of(packed.model), path=partial / MODEL_FILE)
    packed.prompts.to_parquet(partial / PROMPTS_FILE)
    packed.treatments.to_parquet(partial / TREATMENTS_FILE)
    (partial / CARD_FILE).write_text(packed.card, encoding="utf-8")
    if packed.adapter is not None:
        _write_tensors(*packed.adapter.to_safetensors(), path=partial / ADAPTER_FILE)
    if packed.profiles is not None:
        dimensions = embedding_columns(packed.profiles)
        matrix = packed.profiles[dimensions].to_numpy(dtype=np.float32)
        np.save(partial / PROFILES_FILE, matrix, allow_pickle=False)
        packed.profiles.drop(columns=dimensions).to_parquet(partial / WELLS_FILE)
    config = BundleConfig(
        format=FORMAT,
        morphoclip=__version__,
        images=packed.images,
        text=packed.text,
        files={path.name: sha256_of(path) for path in sorted(partial.iterdir())},
        **described(packed.model),
    )
    (partial / CONFIG_FILE).write_text(config.model_dump_json(indent=2) + "\n", encoding="utf-8")
    before = folder.with_name(f".{folder.name}.{os.getpid()}.before")
    if folder.exists():
        folder.rename(before)
    partial.rename(folder)
    shutil.rmtree(before, ignore_errors=True)


def _write_tensors(
    tensors: Mapping[str, Tensor], header: Mapping[str, str] | None = None, *, path: Path
) -> None:
    from safetensors.torch import save_file

    save_file(dict(tensors), path, metadata=dict(header or {}))
    path.chmod(0o644)  # safetensors writes for its user alone


def sha256_of(path: Path) -> str:
    """Of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class BundleFiles:
    """The files of a bundle on disk; each is checked when it is first read."""

    def __init__(self, folder: Path, config: BundleConfig) -> None:
        self.folder = folder
        self._sha256 = config.files

    def __contains__(self, name: str) -> bool:
        return name in self._sha256

    def path(self, name: str) -> Path:
        """Where a file lies, once it is known to be whole.

        Raises:
            InputError: It is not there, or its content is not what was packed.
        """
        path = self.folder / name
        if not path.is_file():
            raise self._damaged(name, "it is not there")
        if sha256_of(path) != self._sha256[name]:
            raise self._damaged(name, "its content is not what was packed")
        return path

    def tensors(self, name: str) -> tuple[dict[str, Tensor], dict[str, str]]:
        """The tensors of a file and its header."""
        from safetensors import SafetensorError, safe_open

        path = self.path(name)
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                return tensors, file.metadata() or {}
        except SafetensorError as error:
            raise self._damaged(name, str(error)) from error

    def table(self, name: str) -> pd.DataFrame:
        """A table."""
        try:
            return pd.read_parquet(self.path(name))
        except (OSError, ValueError) as error:
            raise self._damaged(name, str(error)) from error

    def matrix(self, name: str) -> NDArray[np.float32]:
        """A matrix ``(B, E)``, mapped into memory."""
        try:
            matrix: NDArray[np.float32] = np.load(
                self.path(name), mmap_mode="r", allow_pickle=False
            )
        except (OSError, ValueError) as error:
            raise self._damaged(name, str(error)) from error
        return matrix

    def _damaged(self, name: str, why: str) -> InputError:
        return InputError(
            f"{name} of the bundle {self.folder.name} cannot be used ({why}): fetch or pack the "
            "bundle again"
        )
