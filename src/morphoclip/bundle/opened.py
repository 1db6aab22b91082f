"""The parts of a bundle: weights, tables and backbones, read when they are needed."""

from functools import cached_property
from pathlib import Path
from typing import TypeVar

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morphoclip.backbones.adapter import Adapter, put_on
from morphoclip.backbones.config import ImageBackboneConfig, TextBackboneConfig
from morphoclip.backbones.image import ImageBackbone, load_image_backbone
from morphoclip.backbones.text import TextBackbone, load_text_backbone, warn_of_ngrams
from morphoclip.bundle.config import ADAPTER_NAME, BundleConfig, ImageSettings, read_config
from morphoclip.bundle.files import (
    ADAPTER_FILE,
    MODEL_FILE,
    PROFILES_FILE,
    PROMPTS_FILE,
    TREATMENTS_FILE,
    WELLS_FILE,
    BundleFiles,
    no_profiles,
)
from morphoclip.bundle.weights import trained_model
from morphoclip.device import resolve_device
from morphoclip.errors import InputError
from morphoclip.features.config import ImageFeaturesConfig
from morphoclip.loaders import Loaders
from morphoclip.models.trained import TrainedModel

BackboneConfig = TypeVar("BackboneConfig", ImageBackboneConfig, TextBackboneConfig)


class PackedModelFiles:
    """The parts of a bundle, each read when it is first needed.

    Attributes:
        folder: Where it lies.
        config: Everything about it but its numbers.
        model: Its weights.
    """

    def __init__(
        self,
        folder: Path,
        *,
        device: str = "auto",
        batch_size: int = 512,
        image_backbone: str | None = None,
        text_backbone: str | None = None,
    ) -> None:
        """Read the configuration and the weights; backbones and tables are read when needed.

        A backbone's folder or hub id takes the place of the bundle's own name for it; its weights
        have to be the same.

        Raises:
            InputError: The folder holds no bundle, one of another version, or a damaged one.
        """
        self.folder = folder
        self.config: BundleConfig = read_config(folder)
        self._files = BundleFiles(folder, self.config.files)
        self._device, self._batch_size = resolve_device(device), batch_size
        self._elsewhere = {"images": image_backbone, "text": text_backbone}
        tensors, _ = self._files.tensors(MODEL_FILE)
        self.model: TrainedModel = trained_model(self.config, tensors)

    def __repr__(self) -> str:
        n_members = len(self.model.members)
        return f"<Bundle {self.folder.name}: model {self.model.digest}, {n_members} member(s)>"

    @property
    def images(self) -> ImageSettings:
        """What turns images into this model's tokens.

        Raises:
            InputError: Its tokens were not made from images by this project.
        """
        if self.config.images is None:
            raise InputError(
                f"the model of the bundle {self.folder.name} was trained on profiles that were "
                "made elsewhere, not on images: give it tokens (embed_tokens)"
            )
        return self.config.images

    @cached_property
    def prompts(self) -> pd.DataFrame:
        """One row per distinct prompt of the training, with its embedding."""
        return self._files.table(PROMPTS_FILE)

    @cached_property
    def treatments(self) -> pd.DataFrame:
        """Names, targets, mechanisms and structures of treatments."""
        return self._files.table(TREATMENTS_FILE)

    @cached_property
    def wells(self) -> pd.DataFrame:
        """``Metadata_*`` of the reference profiles.

        Raises:
            InputError: The bundle has none.
        """
        self._require_profiles()
        return self._files.table(WELLS_FILE)

    @cached_property
    def profiles(self) -> NDArray[np.float32]:
        """The reference profiles ``(B, E)``, mapped into memory, in the order of `wells`.

        Raises:
            InputError: The bundle has none.
        """
        self._require_profiles()
        return self._files.matrix(PROFILES_FILE)

    def _require_profiles(self) -> None:
        if PROFILES_FILE not in self._files:
            raise no_profiles(self.folder)

    @property
    def adapters(self) -> Loaders[Adapter]:
        """The adapter of the vision backbone by its name, where there is one."""
        if ADAPTER_FILE not in self._files:
            return {}
        return {ADAPTER_NAME: lambda: Adapter.from_safetensors(*self._files.tensors(ADAPTER_FILE))}

    @cached_property
    def image_backbone(self) -> ImageBackbone:
        """The vision backbone that made the tokens, with its adapter.

        Raises:
            InputError: It cannot be loaded, or is not the one of the training.
        """
        from morphoclip.features.extract import fingerprint_of  # what reads images waits for them

        settings = self.images
        backbone = load_image_backbone(
            self._found(settings.backbone, "images"), len(settings.channels)
        )
        for name, adapter in self.adapters.items():
            put_on(backbone, adapter(), name=name)
        self.model.require_image_features(fingerprint_of(backbone, self.image_features()))
        return backbone

    @cached_property
    def text_backbone(self) -> TextBackbone:
        """The encoder of words.

        Raises:
            InputError: It cannot be loaded, or is not the one of the training.
        """
        backbone = load_text_backbone(self._found(self.config.text, "text"), device=self._device)
        self.model.require_words(backbone.identity)
        warn_of_ngrams(backbone)
        return backbone

    def _found(self, config: BackboneConfig, side: str) -> BackboneConfig:
        place = self._elsewhere[side]
        changed = {} if place is None else {"model_id": place, "revision": None}
        return config.model_copy(update=changed)

    def image_features(self) -> ImageFeaturesConfig:
        """``params:image_features`` as this model needs them."""
        return ImageFeaturesConfig.model_validate(dict(self.images))
