"""Parameters of the image and text backbones."""

from typing import Literal, Self

from pydantic import Field, model_validator

from morphoclip.config import Config


class UntrainedViT(Config):
    """A DINOv3 of the real class with fixed random weights: for demos and tests, offline."""

    hidden_size: int = 192
    layers: int = Field(4, ge=1)
    heads: int = Field(3, ge=1)
    register_tokens: int = Field(4, ge=0)
    patch_size: int = Field(16, ge=1)
    seed: int = 0


class ImageBackboneConfig(Config):
    """``image_features.backbone``: a model by id or folder, or an untrained one."""

    model_id: str | None = Field(None, description="Hub id or folder.")
    revision: str | None = Field(None, description="Commit of the hub's repository.")
    untrained: UntrainedViT | None = None
    dtype: Literal["float32", "bfloat16", "float16"] = "float32"

    @model_validator(mode="after")
    def _one_of_both(self) -> Self:
        if (self.model_id is None) == (self.untrained is None):
            raise ValueError("give either backbone.model_id or backbone.untrained")
        return self


class TextBackboneConfig(Config):
    """``text_features.backbone``."""

    kind: Literal["transformer", "ngrams"] = "transformer"
    model_id: str | None = Field(None, description="Hub id or folder; for kind transformer.")
    revision: str | None = Field(None, description="Commit of the hub's repository.")
    pooling: Literal["cls", "mean"] = "cls"
    max_length: int = Field(512, ge=8, description="Tokens; longer prompts are cut and counted.")
    dim: int = Field(768, ge=8, description="Width of the n-gram features.")

    @model_validator(mode="after")
    def _transformers_have_a_name(self) -> Self:
        if self.kind == "transformer" and self.model_id is None:
            raise ValueError("text_features.backbone.model_id names the transformer to use")
        return self
