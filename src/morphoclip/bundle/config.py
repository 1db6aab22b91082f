"""``config.json`` of a bundle: everything about a model but its numbers."""

from pathlib import Path
from typing import Annotated

from pydantic import Field, ValidationError

from morphoclip.backbones.config import ImageBackboneConfig, TextBackboneConfig
from morphoclip.bundle.files import damaged_config, read_json
from morphoclip.config import Channels, Config
from morphoclip.fingerprint import Fingerprint
from morphoclip.imaging.config import PreprocessConfig
from morphoclip.models.config import ModelConfig

ADAPTER_NAME = "packed"
"""What the adapter in a bundle is called among adapters."""


_Count = Annotated[int, Field(ge=0, le=2**31)]


class ImageSettings(Config):
    """What turns images into tokens: the part of ``params:image_features`` that changes them."""

    channels: Channels = Field(description="Names in the order of tokens; what they were called.")
    preprocess: PreprocessConfig
    backbone: ImageBackboneConfig


class BundleConfig(Config):
    """Everything about a packed model but its numbers.

    ``images`` is None where the tokens were not made from images by this project, as with
    published profiles; ``files`` has the SHA-256 of every other file of the bundle.
    """

    format: _Count
    morphoclip: str = Field(description="Version that wrote it.")
    digest: str = Field(description="Of the weights; profiles carry it as Metadata_model.")
    model: ModelConfig
    n_channels: _Count
    feature_dim: _Count
    text_dim: _Count
    fact_names: dict[str, tuple[str, ...]]
    epochs: tuple[_Count, ...] = Field(description="One per member: pairs of towers.")
    plate_names: tuple[str, ...] = Field(description="Plates with offsets by cross-well alignment.")
    closed_form: bool
    images: ImageSettings | None
    text: TextBackboneConfig
    image_fingerprint: Fingerprint
    text_fingerprint: Fingerprint
    manifest_sha256: str
    wells_sha256: str
    validation_joined: bool
    started_from: str | None
    files: dict[str, str]


def read_config(folder: Path) -> BundleConfig:
    """The configuration of a bundle.

    Raises:
        InputError: The folder holds no bundle, one of another format, or a damaged one.
    """
    written = read_json(folder)
    try:
        return BundleConfig.model_validate(written)
    except ValidationError as error:
        first = error.errors()[0]
        where = f"{'.'.join(map(str, first['loc']))}: {first['msg']}"
        raise damaged_config(folder, where) from error
