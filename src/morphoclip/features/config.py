"""``params:image_features`` and ``params:text_features``."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from morphoclip.backbones.config import ImageBackboneConfig, TextBackboneConfig
from morphoclip.config import Channels, Config, as_names
from morphoclip.imaging.config import PreprocessConfig
from morphoclip.perturbations.known_facts import FactSource
from morphoclip.perturbations.wording import Context, TextLevel


class DaskConfig(Config):
    """``params:image_features.dask``."""

    address: str | None = Field(
        None, description="Of a cluster's scheduler, tls://host:port; null starts workers here."
    )
    workers: Literal["auto"] | Annotated[int, Field(ge=1, le=1024)] = Field(
        "auto", description="Workers that are started here; auto is one per GPU, or one."
    )
    trusted_network: bool = Field(
        False, description="Talk to a scheduler without TLS: whoever reaches it runs code as you."
    )
    tries: int = Field(3, ge=1, le=100, description="How often some sites of a plate may fail.")
    plates_per_restart: int = Field(
        20, ge=1, le=10**6, description="Plates after which a worker starts afresh."
    )
    patience: float = Field(
        600, ge=1, le=10**6, description="Seconds without any worker after which the run ends."
    )


class ImageFeaturesConfig(Config):
    """``params:image_features``."""

    name: str = Field(
        "default",
        pattern=r"^[A-Za-z0-9][A-Za-z0-9_.-]*$",
        description="The feature set; a folder of its own.",
    )
    channels: Channels = Field(
        description="Channel names to what their source calls them, in order.", min_length=1
    )
    preprocess: PreprocessConfig = PreprocessConfig()
    backbone: ImageBackboneConfig
    batch_size: int = Field(48, ge=1, le=65_536, description="Sites.")
    device: str = Field("auto", description="auto takes a CUDA device where there is one.")
    executor: Literal["local", "dask"] = Field(
        "local", description="Who encodes: this process, or the workers of a Dask cluster."
    )
    dask: DaskConfig = DaskConfig()
    save_tensors: bool = Field(False, description="Keep the resized images as .pt, too.")

    @property
    def n_tokens(self) -> int:
        """T, tokens per site: one per channel, or one where all go through the model at once."""
        return 1 if self.backbone.input == "multi_channel" else len(self.channels)

    @model_validator(mode="after")
    def _numbers_are_distinct(self) -> Self:
        if len(set(self.channels.values())) < len(self.channels):
            raise ValueError(f"two channels are one of the source's: {self.channels}")
        return self


class TextFeaturesConfig(Config):
    """``params:text_features``."""

    level: TextLevel = TextLevel.FULL
    context: Annotated[tuple[Context, ...], BeforeValidator(as_names)] = Field(
        (),
        description="cell_type, timepoint: off, since a plate's look gives both away.",
    )
    facts: Annotated[tuple[FactSource, ...], BeforeValidator(as_names)] = Field(
        (),
        description="Known facts beside the words: target, targets, mechanisms, structure, dose.",
    )
    backbone: TextBackboneConfig
    device: str = Field("auto", description="auto takes a CUDA device where there is one.")
