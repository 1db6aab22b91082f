"""Training an adapter of the vision backbone together with the towers (training spec, phase 3)."""

from dataclasses import dataclass
from typing import Any

import torch
from pydantic import Field
from torch import nn

from morphoclip.backbones.adapter import (
    Adapter,
    AdapterSettings,
    adapter_of,
    add_adapter,
)
from morphoclip.backbones.image import load_image_backbone
from morphoclip.errors import InputError
from morphoclip.features.config import ImageFeaturesConfig
from morphoclip.fingerprint import Fingerprint, differences
from morphoclip.loaders import Loaders
from morphoclip.models.config import ModelConfig
from morphoclip.models.fine_tuned import FineTuned
from morphoclip.models.morphoclip import MorphoCLIP
from morphoclip.models.trained import TrainedModel
from morphoclip.training.config import TrainingConfig
from morphoclip.wells.assemble import Wells


class LoraConfig(AdapterSettings):
    """``params:lora``; what it shares with `training` takes that one's place."""

    name: str = Field("lora", pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$")
    start_from_model: bool = Field(True, description="Go on with the towers that training made.")
    gradient_checkpointing: bool = Field(
        False, description="Compute each layer twice instead of keeping what it computed."
    )
    renew_every: int = Field(
        1,
        ge=1,
        le=1_000_000,
        description="Steps between measurements of the plates' negative controls.",
    )
    sites_per_well: int | None = Field(2, ge=1, le=1000)
    batch_size: int = Field(512, ge=2, le=1_000_000, description="Wells.")
    micro_batch: int | None = Field(16, ge=1, le=1_000_000, description="Wells.")
    learning_rate: float = Field(1e-4, gt=0, le=100, description="Of the towers.")
    adapter_learning_rate: float = Field(1e-4, gt=0, le=100)
    warmup_steps: int = Field(20, ge=0, le=10_000_000)
    epochs: int = Field(10, ge=1, le=1_000_000)

    @property
    def adapter(self) -> AdapterSettings:
        """What the adapter is made of."""
        fields = AdapterSettings.model_fields
        return AdapterSettings(**{name: getattr(self, name) for name in fields})

    def applied_to(self, training: TrainingConfig) -> TrainingConfig:
        """The parameters of training, with those of this group in place."""
        shared = set(type(self).model_fields) & set(TrainingConfig.model_fields)
        return training.model_copy(update={name: getattr(self, name) for name in shared})


@dataclass(frozen=True)
class FineTuning:
    """What a training needs to train the backbone, too; pickles.

    Attributes:
        lora: The adapter.
        features: The backbone, and how its features are made.
        start: Towers to go on with.
    """

    lora: LoraConfig
    features: ImageFeaturesConfig
    start: TrainedModel | None

    @property
    def start_digest(self) -> str:
        """Of the towers to go on with; ``new`` for new ones."""
        return self.start.digest if self.start else "new"

    @property
    def record(self) -> dict[str, Any]:
        """What tells this training from others."""
        given = {
            "adapter_learning_rate",
            "rank",
            "alpha",
            "dropout",
            "modules",
            "gradient_checkpointing",
            "renew_every",
        }
        return {
            "lora": self.lora.model_dump(mode="json", include=given),
            "start": self.start.digest if self.start else None,
        }

    def model(
        self, wells: Wells, towers: MorphoCLIP, model: ModelConfig, n_plates: int
    ) -> FineTuned:
        """Towers, backbone and a new adapter.

        Raises:
            InputError: The backbone is not that of the features, or a module's name is wrong.
        """
        if self.start is not None:
            towers.load_state_dict(self.start.members[0].state)
        config = self.features.backbone
        backbone = load_image_backbone(config, len(self.features.channels))
        backbone.check_size(self.features.preprocess.size)
        mine = {key: wells.image_fingerprint.get(key, "absent") for key in backbone.identity}
        differing = differences(backbone.identity, mine)
        if differing:
            raise InputError(
                "image_features.backbone is not the one that made the features "
                f"({'; '.join(differing)}); give the parameters that image_features was run with"
            )
        if self.lora.rank:
            with torch.random.fork_rng(devices=[]):  # rank 0 draws the same sites and dropout
                add_adapter(backbone, self.lora.adapter)
        if self.lora.gradient_checkpointing:
            _keep_little(backbone.model)
        return FineTuned(
            backbone,
            towers,
            n_plates=n_plates,
            normalisation=model.token_normalisation,
            renew_every=self.lora.renew_every,
        )

    def adapter(self, model: FineTuned) -> Adapter | None:
        """What was trained beside the towers; None for rank 0."""
        return adapter_of(model.backbone, self.lora.adapter) if self.lora.rank else None


def fingerprint_with(fingerprint: Fingerprint, adapter: Adapter | None) -> Fingerprint:
    """The fingerprint of the features that this adapter makes."""
    return fingerprint | ({"adapter": adapter.digest} if adapter else {})


def refuse_parts_beside_towers(model: ModelConfig, training: TrainingConfig) -> None:
    """An adapter is trained with one pair of towers, and by epochs that validation wells choose.

    Raises:
        InputError: More is asked for.
    """
    if model.closed_form != "none" or training.members > 1 or training.stopping == "inner_folds":
        raise InputError(
            "lora trains an adapter with one pair of towers: set model.closed_form to none, "
            "training.members to 1 and training.stopping to early or none"
        )
    if training.nodes > 1:
        raise InputError(
            "lora trains on one host, which reads the images: set training.nodes to 1; "
            "training.devices takes all of its GPUs"
        )


def model_to_start_from(
    models: Loaders[TrainedModel], wells: Wells, manifest_digest: str, model: ModelConfig
) -> TrainedModel:
    """The newest model that `training` made of these features, wells and split.

    Not one that `lora` made: each adapter, and the control of rank 0, starts from the same towers.

    Raises:
        InputError: There is none, or it has another shape.
    """
    for version in sorted(models, reverse=True):
        found = models[version]()
        if found.started_from is not None:
            continue
        alike = not differences(found.image_fingerprint, wells.image_fingerprint)
        alike = alike and not differences(found.text_fingerprint, wells.text_fingerprint)
        if alike and (found.manifest_sha256, found.wells_sha256) == (manifest_digest, wells.sha256):
            break
    else:
        raise InputError(
            f"none of the {len(models)} models was made by training on these features, wells and "
            "split: run kedro run --pipeline training first, or start with new towers, "
            "--params lora.start_from_model:false"
        )
    given, trained = (config.model_dump(mode="json") for config in (model, found.config))
    differing = [
        f"{key} {given[key]}, not {trained[key]}" for key in given if given[key] != trained[key]
    ]
    if differing:
        raise InputError(
            f"the model to go on with has another shape (model: {'; '.join(differing)}); give the "
            "parameters of its training, or --params lora.start_from_model:false"
        )
    return found


def _keep_little(network: Any) -> None:
    """Gradient checkpointing in evaluation mode, in which the backbone stays.

    transformers' layers do it where they themselves are in training mode; their parts, which hold
    dropout, are left alone.
    """
    from transformers.modeling_layers import GradientCheckpointingLayer

    layers: list[nn.Module] = [
        layer for layer in network.modules() if isinstance(layer, GradientCheckpointingLayer)
    ]
    if not layers or not getattr(network, "supports_gradient_checkpointing", False):
        raise InputError(
            f"the backbone {type(network).__name__} has no gradient checkpointing; set "
            "lora.gradient_checkpointing to false and lower lora.micro_batch instead"
        )
    enable = getattr(network, "activation_checkpointing_enable", None)
    if enable is not None:
        enable(activation_checkpointing_kwargs={"use_reentrant": False})
    else:  # its name in transformers before 5.20
        network.gradient_checkpointing_enable({"use_reentrant": False})
    for layer in layers:
        layer.training = True
