"""Writing a bundle: whole or not at all."""

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pandas as pd
from torch import Tensor

from morphoclip import __version__
from morphoclip.backbones.adapter import Adapter
from morphoclip.backbones.config import TextBackboneConfig
from morphoclip.bundle.config import BundleConfig, ImageSettings
from morphoclip.bundle.files import (
    ADAPTER_FILE,
    CARD_FILE,
    CONFIG_FILE,
    FORMAT,
    MODEL_FILE,
    PROFILES_FILE,
    PROMPTS_FILE,
    TREATMENTS_FILE,
    WELLS_FILE,
    sha256_of,
)
from morphoclip.bundle.weights import described, tensors_of
from morphoclip.columns import embedding_columns, embeddings
from morphoclip.files import json_digest, written_whole
from morphoclip.models.trained import TrainedModel


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
    with written_whole(folder) as partial:
        partial.mkdir()
        _write_tensors(tensors_of(packed.model), path=partial / MODEL_FILE)
        packed.prompts.to_parquet(partial / PROMPTS_FILE)
        packed.treatments.to_parquet(partial / TREATMENTS_FILE)
        (partial / CARD_FILE).write_text(packed.card, encoding="utf-8")
        if packed.adapter is not None:
            _write_tensors(*packed.adapter.to_safetensors(), path=partial / ADAPTER_FILE)
        if packed.profiles is not None:
            dimensions = embedding_columns(packed.profiles)
            matrix = embeddings(packed.profiles).astype(np.float32, copy=False)
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
        written = config.model_dump(mode="json")
        signed = json.dumps(written | {"sha256": json_digest(written)}, indent=2)
        (partial / CONFIG_FILE).write_text(signed + "\n", encoding="utf-8")


def _write_tensors(
    tensors: Mapping[str, Tensor], header: Mapping[str, str] | None = None, *, path: Path
) -> None:
    from safetensors.torch import save_file

    save_file(dict(tensors), path, metadata=dict(header or {}))
    path.chmod(0o644)  # safetensors writes for its user alone
