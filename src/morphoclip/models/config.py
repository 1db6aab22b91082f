"""``params:model``, and what the data decide about a model."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal, Self

from pydantic import Field

from morphoclip.config import Config
from morphoclip.errors import InputError
from morphoclip.models.pooling import InputNorm
from morphoclip.plate_correction import TokenNormalisation
from morphoclip.wells.assemble import Wells


class ModelConfig(Config):
    """``params:model``."""

    token_normalisation: TokenNormalisation = TokenNormalisation.NEGCON_ZSCORE
    channel_aggregation: Literal["ccf", "mean_pool", "attention", "wellformer"] = "ccf"
    ccf_layers: int = Field(1, ge=1, le=64)
    ccf_heads: int = Field(4, ge=1, le=256)
    ccf_ff_dim: int = Field(4096, ge=1, le=65_536)
    ccf_aggregate: Literal["cls", "mean"] = "cls"
    ccf_input_norm: InputNorm = "l2"
    site_pooling: Literal["mean", "attention", "max"] = "mean"
    output_dim: int = Field(512, ge=2, le=65_536)
    proj_hidden_dim: int = Field(512, ge=1, le=65_536)
    proj_dropout: float = Field(0.3, ge=0, lt=1)
    text_scaling: Literal["none", "train"] = Field(
        "none", description="train: words less the mean of the train prompts, at a common length."
    )
    fact_weight: float = Field(
        0.2,
        gt=0,
        le=1000,
        description="Length of a source of known facts beside that of the words.",
    )
    fact_dropout: float = Field(
        0.3, ge=0, le=1, description="How often a whole source is left out in training."
    )
    closed_form: Literal["none", "kernel_cca"] = Field(
        "none", description="Regularised kernel canonical correlations beside the trained towers."
    )
    closed_form_weight: float = Field(
        1.0, gt=0, le=1000, description="Weight of their similarity beside that of the towers."
    )
    closed_form_strength: float = Field(
        1.0, gt=0, le=1_000_000, description="Of their regularisation."
    )

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
    """What the data decide about a model.

    Attributes:
        n_channels: C.
        feature_dim: D, of image tokens.
        text_dim: D_text, of words.
        facts: Number of columns of each source of known facts.
    """

    n_channels: int
    feature_dim: int
    text_dim: int
    facts: Mapping[str, int] = field(default_factory=dict)

    @classmethod
    def of(cls, wells: Wells) -> Self:
        """The shape that these wells need."""
        _, n_channels, feature_dim = wells.sites.shape
        facts = {source: len(names) for source, names in wells.fact_names.items()}
        return cls(n_channels, feature_dim, wells.text_dim, facts)
