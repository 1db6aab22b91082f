"""``config.json`` of a bundle: everything about a model but its numbers."""

import json
from pathlib import Path
from typing import Any

from pydantic import Field, ValidationError

from morphoclip.backbones.config import ImageBackboneConfig, TextBackboneConfig
from morphoclip.config import Channels, Config
from morphoclip.errors import InputError
from morphoclip.fingerprint import Fingerprint
from morphoclip.imaging.config import PreprocessConfig
from morphoclip.models.config import ModelConfig

FORMAT = 1
"""Raised whenever an earlier version could not read what is written."""

CONFIG_FILE = "config.json"

ADAPTER_NAME = "packed"
"""What the adapter in a bundle is called among adapters."""


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

    format: int
    morphoclip: str = Field(description="Version that wrote it.")
    digest: str = Field(description="Of the weights; profiles carry it as Metadata_model.")
    model: ModelConfig
    n_channels: int
    feature_dim: int
    text_dim: int
    fact_names: dict[str, tuple[str, ...]]
    epochs: tuple[int, ...] = Field(description="One per member: pairs of towers.")
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
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise InputError(
            f"{folder.name} holds no {CONFIG_FILE} and is no bundle: make one with "
            "kedro run --pipeline pack_model, or name the folder (or hub id) of one"
        )
    try:
        written: Any = json.loads(path.read_text(encoding="utf-8"))
        number = written["format"]
        if number != FORMAT:
            remedy = (
                "pack the model again" if isinstance(number, int) and number < FORMAT
                else "a newer version of morphoclip reads it"
            )  # fmt: skip
            raise InputError(
                f"the bundle {folder.name} has format {number!r} and this version of morphoclip "
                f"reads format {FORMAT}: {remedy}"
            )
        return BundleConfig.model_validate(written)
    except (OSError, ValueError, KeyError, TypeError) as error:
        if isinstance(error, InputError):
            raise
        first = error.errors()[0] if isinstance(error, ValidationError) else None
        where = ".".join(map(str, first["loc"])) + f": {first['msg']}" if first else str(error)
        raise InputError(
            f"{CONFIG_FILE} of the bundle {folder.name} cannot be read ({where}): fetch or pack "
            "the bundle again"
        ) from error
