"""Parameters of the image and text backbones."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from morphoclip.backbone_identity import model_name
from morphoclip.config import Config, Seed, as_names

Colours = Annotated[tuple[Annotated[float, Field(ge=-255, le=255)], ...], BeforeValidator(as_names)]
"""One number per colour; ``0.5+0.5+0.5`` on the command line."""


class UntrainedViT(Config):
    """Random weights in a small DINOv3, or in the architecture of another model."""

    like: str | None = Field(None, description="Hub id or folder; takes the place of the sizes.")
    hidden_size: int = Field(192, ge=1, le=8192)
    layers: int = Field(4, ge=1, le=128)
    heads: int = Field(3, ge=1, le=256)
    register_tokens: int = Field(4, ge=0, le=64)
    patch_size: int = Field(16, ge=1, le=512)
    seed: Seed = 0

    @model_validator(mode="after")
    def _heads_divide(self) -> Self:
        if self.hidden_size % self.heads:
            raise ValueError(f"heads {self.heads} does not divide hidden_size {self.hidden_size}")
        if self.hidden_size // self.heads % 4:
            raise ValueError(
                f"hidden_size {self.hidden_size} over heads {self.heads} is no multiple of 4, "
                "which DINOv3's positions need"
            )
        return self


class ImageBackboneConfig(Config):
    """``image_features.backbone``."""

    kind: Literal["transformers", "timm", "untrained"] = "transformers"
    model_id: str | None = Field(None, description="Hub id or folder; not for kind untrained.")
    revision: str | None = Field(None, description="Commit of the hub's repository.")
    input: Literal["per_channel", "multi_channel"] = Field(
        "per_channel", description="One token per channel, or one per site from all at once."
    )
    mean: Colours | None = Field(None, description="Of each colour in [0, 1]; the model's own.")
    sd: Colours | None = None
    untrained: UntrainedViT | None = Field(None, description="For kind untrained.")
    adapter: str | None = Field(None, description="Name of an adapter that pipeline lora made.")
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"

    @property
    def name(self) -> str:
        """What a fingerprint calls the model: its id, or a folder's name without its path."""
        if self.kind == "untrained":
            like = self.untrained.like if self.untrained else None
            return f"untrained {model_name(like)}" if like else "untrained DINOv3ViTModel"
        return model_name(self.required_model_id)

    @property
    def folder(self) -> str | None:
        """The id of what is read, which may be a folder."""
        if self.kind == "untrained":
            return self.untrained.like if self.untrained else None
        return self.model_id

    @property
    def required_model_id(self) -> str:
        """``model_id``, which all kinds but untrained have."""
        assert self.model_id is not None
        return self.model_id

    @model_validator(mode="after")
    def _model_and_kind_go_together(self) -> Self:
        if self.kind != "untrained" and self.untrained is not None:
            raise ValueError(f"untrained is given and kind is {self.kind}; take kind untrained")
        if self.kind != "untrained" and self.model_id is None:
            raise ValueError(f"kind {self.kind} needs a model_id")
        if (self.mean is None) != (self.sd is None):
            raise ValueError("give mean and sd, or neither")
        if self.sd is not None and min(self.sd) <= 0:
            raise ValueError("sd has to be above 0")
        return self


class TextBackboneConfig(Config):
    """``text_features.backbone``."""

    kind: Literal["transformer", "ngrams"] = "transformer"
    model_id: str | None = Field(None, description="Hub id or folder; for kind transformer.")
    revision: str | None = Field(None, description="Commit of the hub's repository.")
    pooling: Literal["cls", "mean"] = "cls"
    max_length: int = Field(
        512, ge=8, le=32_768, description="Tokens; longer prompts are cut and counted."
    )
    dim: int = Field(768, ge=8, le=16_384, description="Width of the n-gram features.")

    @model_validator(mode="after")
    def _transformers_have_a_name(self) -> Self:
        if self.kind == "transformer" and self.model_id is None:
            raise ValueError("text_features.backbone.model_id names the transformer to use")
        return self
