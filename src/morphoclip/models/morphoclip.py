"""Both towers and the temperature in one module."""

import math
from typing import assert_never

import torch
from torch import Tensor, nn
from torch.nn.functional import normalize

from morphoclip.models.config import ModelConfig, ModelShape
from morphoclip.models.pooling import (
    ChannelAttention,
    ChannelMean,
    CrossChannelFormer,
    SitePooling,
    WellFormer,
)
from morphoclip.models.prompt_input import PromptInput
from morphoclip.wells.batch import WellBatch


def projection_head(input_dim: int, config: ModelConfig) -> nn.Sequential:
    """Linear, LayerNorm, GELU, dropout, linear: ``(N, input_dim)`` -> ``(N, E)``."""
    return nn.Sequential(
        nn.Linear(input_dim, config.proj_hidden_dim),
        nn.LayerNorm(config.proj_hidden_dim),
        nn.GELU(),
        nn.Dropout(config.proj_dropout),
        nn.Linear(config.proj_hidden_dim, config.output_dim),
    )


def _projection(input_dim: int, output_dim: int) -> nn.Linear:
    """Weights whose variance does not depend on ``input_dim``: few facts are known at a time."""
    projection = nn.Linear(input_dim, output_dim, bias=False)
    nn.init.normal_(projection.weight, std=output_dim**-0.5)
    return projection


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
        self.prompt_input = PromptInput(
            shape, scaled=config.text_scaling == "train", fact_weight=config.fact_weight
        )
        self.fact_dropout = config.fact_dropout
        with torch.random.fork_rng(devices=[]):  # the towers' own weights stay those of their seed
            self.fact_projections = nn.ModuleList(
                _projection(size, config.proj_hidden_dim) for size in shape.facts.values()
            )

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
        """``(P, D_text + F)`` -> ``(P, E)`` unit vectors of prompts.

        Each source of known facts has a projection of its own, added to the words' before the text
        head's LayerNorm; in training, whole sources are left out at random.
        """
        words, *sources = self.prompt_input(features.to(self.logit_scale.dtype))
        hidden = self.text_head[0](words)
        for facts, projection in zip(sources, self.fact_projections, strict=True):
            hidden = hidden + projection(self._drop_some(facts))
        prompts_in_space = self.text_head[1:](hidden)
        return normalize(prompts_in_space.to(self.logit_scale.dtype), dim=-1)

    def _drop_some(self, facts: Tensor) -> Tensor:
        """In training, the facts ``(P, F_source)`` of a random part of the prompts are zeros."""
        if not self.training or self.fact_dropout == 0:
            return facts
        if self.fact_dropout == 1:  # draws nothing: training goes as without facts
            return torch.zeros_like(facts)
        kept = torch.rand(len(facts), 1, device=facts.device) >= self.fact_dropout
        return facts * kept


def count_parameters(model: nn.Module) -> int:
    """Trainable numbers."""
    return sum(parameter.numel() for parameter in model.parameters() if parameter.requires_grad)
