"""Both towers and the temperature in one module, and how a trained one is kept."""

import math
from dataclasses import dataclass
from typing import Any, Literal, Self, assert_never

import torch
from pydantic import Field
from torch import Tensor, nn
from torch.nn.functional import normalize

from morphoclip.backbone_identity import weights_digest
from morphoclip.config import Config
from morphoclip.errors import InputError
from morphoclip.fingerprint import Fingerprint, as_models_see_it, differences
from morphoclip.models.pooling import (
    ChannelAttention,
    ChannelMean,
    CrossChannelFormer,
    InputNorm,
    SitePooling,
    WellFormer,
)
from morphoclip.plate_effects import TokenNormalisation
from morphoclip.wells.assemble import Wells
from morphoclip.wells.batch import WellBatch


class ModelConfig(Config):
    """``params:model``."""

    token_normalisation: TokenNormalisation = TokenNormalisation.NEGCON_ZSCORE
    channel_aggregation: Literal["ccf", "mean_pool", "attention", "wellformer"] = "ccf"
    ccf_layers: int = Field(1, ge=1)
    ccf_heads: int = Field(4, ge=1)
    ccf_ff_dim: int = Field(4096, ge=1)
    ccf_aggregate: Literal["cls", "mean"] = "cls"
    ccf_input_norm: InputNorm = "l2"
    site_pooling: Literal["mean", "attention", "max"] = "mean"
    output_dim: int = Field(512, ge=2)
    proj_hidden_dim: int = Field(512, ge=1)
    proj_dropout: float = Field(0.3, ge=0, lt=1)

    def require_fits(self, feature_dim: int) -> None:
        """Refuse features whose width the heads do not divide.

        Raises:
            InputError: With the numbers that do.
        """
        if self.channel_aggregation in ("ccf", "wellformer") and feature_dim % self.ccf_heads:
            raise InputError(
                f"model.ccf_heads {self.ccf_heads} does not divide the feature width "
                f"{feature_dim}; these do: "
                + ", ".join(str(n) for n in range(1, 17) if feature_dim % n == 0)
            )


@dataclass(frozen=True)
class ModelShape:
    """What the data decide about a model: channels, feature width, text width."""

    n_channels: int
    feature_dim: int
    text_dim: int

    @classmethod
    def of(cls, wells: Wells) -> Self:
        """The shape that these wells need."""
        _, n_channels, feature_dim = wells.sites.tokens.shape
        return cls(n_channels, feature_dim, wells.text.shape[1])


def projection_head(input_dim: int, config: ModelConfig) -> nn.Sequential:
    """Linear, LayerNorm, GELU, dropout, linear: ``(N, input_dim)`` -> ``(N, E)``."""
    return nn.Sequential(
        nn.Linear(input_dim, config.proj_hidden_dim),
        nn.LayerNorm(config.proj_hidden_dim),
        nn.GELU(),
        nn.Dropout(config.proj_dropout),
        nn.Linear(config.proj_hidden_dim, config.output_dim),
    )


def _channel_aggregation(config: ModelConfig, shape: ModelShape) -> nn.Module:
    match config.channel_aggregation:
        case "ccf":
            return CrossChannelFormer(
                n_channels=shape.n_channels,
                dim=shape.feature_dim,
                layers=config.ccf_layers,
                heads=config.ccf_heads,
                ff_dim=config.ccf_ff_dim,
                aggregate=config.ccf_aggregate,
                input_norm=config.ccf_input_norm,
            )
        case "wellformer":
            return WellFormer(
                n_channels=shape.n_channels,
                dim=shape.feature_dim,
                layers=config.ccf_layers,
                heads=config.ccf_heads,
                ff_dim=config.ccf_ff_dim,
                aggregate=config.ccf_aggregate,
                input_norm=config.ccf_input_norm,
            )
        case "attention":
            return ChannelAttention(shape.feature_dim, input_norm=config.ccf_input_norm)
        case "mean_pool":
            return ChannelMean(input_norm=config.ccf_input_norm)
        case _:
            assert_never(config.channel_aggregation)


class MorphoCLIP(nn.Module):
    """Wells and prompts to unit vectors of one space."""

    def __init__(
        self, config: ModelConfig, shape: ModelShape, *, init_temperature: float = 0.07
    ) -> None:
        super().__init__()
        config.require_fits(shape.feature_dim)
        self.shape = shape
        self.channels = _channel_aggregation(config, shape)
        self.sites = SitePooling(config.site_pooling, shape.feature_dim)
        self.image_head = projection_head(shape.feature_dim, config)
        self.text_head = projection_head(shape.text_dim, config)
        self.logit_scale = nn.Parameter(torch.tensor(math.log(1 / init_temperature)))
        self.logit_bias: nn.Parameter | None = None

    def add_logit_bias(self) -> None:
        """A bias of all logits, which `siglip` learns from -10 (its paper, section 3.2).

        It orders nothing, so trained models are kept without it.
        """
        self.logit_bias = nn.Parameter(self.logit_scale.new_tensor(-10.0))

    def encode_image(self, wells: WellBatch) -> Tensor:
        """``(B, E)`` unit vectors of wells."""
        tokens = wells.tokens.to(self.logit_scale.dtype)
        if isinstance(self.channels, WellFormer):
            pooled = self.channels(tokens, wells.offsets)
        else:
            pooled = self.sites(self.channels(tokens), wells.offsets)
        wells_in_space = self.image_head(pooled)
        return normalize(wells_in_space.to(self.logit_scale.dtype), dim=-1)

    def encode_text(self, features: Tensor) -> Tensor:
        """``(P, D_text)`` -> ``(P, E)`` unit vectors of prompts."""
        prompts_in_space = self.text_head(features.to(self.logit_scale.dtype))
        return normalize(prompts_in_space.to(self.logit_scale.dtype), dim=-1)


@dataclass(frozen=True)
class TrainedModel:
    """A model with everything that says what it may be used on.

    Attributes:
        config: Its parameters.
        shape: What its data decided.
        state: Weights.
        plate_offsets: What cross-well alignment takes from a plate's embeddings, ``(E,)``, by
            barcode; plates without an entry are left as they are.
        image_fingerprint: The image features it was trained on.
        text_fingerprint: The text features it was trained on.
        manifest_sha256: The split it was trained on.
        wells_sha256: The wells, sites and prompts it was trained on.
        epoch: The epoch these weights come from, from 1.
        started_from: Of a model that `lora` made, the digest of the one it went on with (``new``:
            none); None for one that `training` made.
    """

    config: ModelConfig
    shape: ModelShape
    state: dict[str, Tensor]
    plate_offsets: dict[str, Tensor]
    image_fingerprint: Fingerprint
    text_fingerprint: Fingerprint
    manifest_sha256: str
    wells_sha256: str
    epoch: int
    started_from: str | None = None

    @property
    def digest(self) -> str:
        """Digest of the weights, which every profile carries (``Metadata_model``)."""
        return weights_digest(self.build())

    @property
    def record(self) -> dict[str, Any]:
        """What tells this model from others, without its weights."""
        return {
            "digest": self.digest,
            "epoch": self.epoch,
            "manifest_sha256": self.manifest_sha256,
            "wells_sha256": self.wells_sha256,
            "image_fingerprint": self.image_fingerprint,
            "text_fingerprint": self.text_fingerprint,
        }

    def build(self) -> MorphoCLIP:
        """The module with its weights, in evaluation mode."""
        model = MorphoCLIP(self.config, self.shape)
        model.load_state_dict(self.state)
        return model.eval()

    def require_fits(self, wells: Wells) -> None:
        """Refuse wells whose features were made differently from those of the training.

        Raises:
            InputError: With the difference.
        """
        _require_same("image", self.image_fingerprint, wells.image_fingerprint)
        self.require_text_features(wells.text_fingerprint)

    def require_text_features(self, fingerprint: Fingerprint) -> None:
        """Refuse text features that were made differently from those of the training.

        Raises:
            InputError: With the difference.
        """
        _require_same("text", self.text_fingerprint, fingerprint)

    def require_same_wells(self, wells: Wells) -> None:
        """Refuse to score the training's own split on wells with other sites or other prompts.

        Raises:
            InputError: They differ, or their features were made differently.
        """
        self.require_fits(wells)
        if wells.sha256 != self.wells_sha256:
            raise InputError(
                "the model was trained on wells with other sites or other prompts than these "
                "(other plates are ingested, or text_features.level, annotations or images have "
                "changed since): ingest the plates of the training, or train again"
            )

    def to_payload(self) -> dict[str, Any]:
        """Tensors, numbers and text only: what ``weights_only=True`` reads back."""
        return {
            "config": self.config.model_dump(mode="json"),
            "shape": vars(self.shape),
            "state": self.state,
            "plate_offsets": self.plate_offsets,
            "image_fingerprint": self.image_fingerprint,
            "text_fingerprint": self.text_fingerprint,
            "manifest_sha256": self.manifest_sha256,
            "wells_sha256": self.wells_sha256,
            "epoch": self.epoch,
            "started_from": self.started_from,
        }

    @classmethod
    def from_payload(cls, payload: dict[str, Any]) -> Self:
        """The inverse of `to_payload`."""
        return cls(
            **payload
            | {
                "config": ModelConfig.model_validate(payload["config"]),
                "shape": ModelShape(**payload["shape"]),
            }
        )


def _require_same(side: str, mine: Fingerprint, theirs: Fingerprint) -> None:
    differing = differences(as_models_see_it(theirs), as_models_see_it(mine))
    if differing:
        if any(difference.startswith("pixel_size") for difference in differing):
            remedy = (
                "cells would have another size; extract both with "
                "image_features.preprocess.resample:true, which brings them to one scale"
            )
            raise InputError(
                "the model was trained on images of another pixel size than these "
                f"({'; '.join(differing)}): {remedy}"
            )
        raise InputError(
            f"the model was trained on other {side} features than these "
            f"({'; '.join(differing)}); train again on these: kedro run --pipeline training"
            + (
                ", or name the set that it was trained on: --params image_features.name:<name>"
                if side == "image"
                else ""
            )
        )


def count_parameters(model: nn.Module) -> int:
    """Trainable numbers."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
