"""Random weights: for demos and tests without downloads, and as the row beside a trained model."""

from typing import Any

import torch

from morphoclip.backbone_identity import weights_digest
from morphoclip.backbones.config import ImageBackboneConfig, UntrainedViT
from morphoclip.backbones.image.base import IMAGENET_MEAN, IMAGENET_SD, LoadedModel
from morphoclip.backbones.image.transformers_model import (
    cls_token,
    colour_statistics,
    explain_unavailable,
    patch_of,
)
from morphoclip.errors import InputError


def untrained(config: ImageBackboneConfig, n_channels: int) -> LoadedModel:
    """A model with weights drawn by the seed: a small DINOv3, or `untrained.like` another one.

    Raises:
        InputError: The model whose architecture to take cannot be had.
    """
    if config.input == "multi_channel":
        raise InputError(
            f"an untrained backbone has three colours and not {n_channels} channels: "
            "image_features.backbone.input multi_channel goes with kind transformers or timm"
        )
    settings = config.untrained or UntrainedViT()
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(settings.seed)
        model = _alike(settings.like) if settings.like else _dinov3(settings)
    mean, sd = IMAGENET_MEAN, IMAGENET_SD
    if config.mean is not None or settings.like is not None:
        mean, sd = colour_statistics(config, settings.like, default=(mean, sd))
    return LoadedModel(
        model=model,
        token=cls_token,
        feature_dim=int(model.config.hidden_size),
        patch=patch_of(model),
        mean=mean,
        sd=sd,
        identity={"model": config.name, "weights": weights_digest(model)},
    )


def _dinov3(settings: UntrainedViT) -> Any:
    from transformers import DINOv3ViTConfig, DINOv3ViTModel

    return DINOv3ViTModel(
        DINOv3ViTConfig(
            hidden_size=settings.hidden_size,
            num_hidden_layers=settings.layers,
            num_attention_heads=settings.heads,
            intermediate_size=4 * settings.hidden_size,
            num_register_tokens=settings.register_tokens,
            patch_size=settings.patch_size,
            initializer_range=0.02,
            attn_implementation="sdpa",
        )
    )


def _alike(model_id: str) -> Any:
    from transformers import AutoConfig, AutoModel

    try:
        architecture = AutoConfig.from_pretrained(model_id)
    except (OSError, ValueError) as error:
        raise explain_unavailable(model_id, "image backbone", error) from error
    return AutoModel.from_config(architecture, attn_implementation="sdpa")
