"""``image_features.preprocess``: how images become model input."""

import os
from collections.abc import Iterable
from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from morphoclip.config import Config
from morphoclip.errors import InputError

NUCLEAR_STAINS = frozenset({"dna", "dapi", "hoechst", "nuclei", "nucleus", "nuclear"})
"""Names that the channel of nuclei goes by, in lower case."""


_MOST_WORKERS = 1024


class Normalisation(StrEnum):
    """How counts of the camera become model input; see `grey_map`."""

    PLATE_PERCENTILE = "plate_percentile"
    IMAGE_PERCENTILE = "image_percentile"
    MINMAX_SITE = "minmax_site"
    SELF_STANDARDISE = "self_standardise"
    UINT16 = "uint16"


Resize = Literal["area", "bilinear"]


class PreprocessConfig(Config):
    """``image_features.preprocess``."""

    size: int = Field(384, ge=16, le=8192, description="Pixels per side of the model's input.")
    normalise: Normalisation = Normalisation.PLATE_PERCENTILE
    resize: Resize = "area"
    illumination: Literal["none", "npy"] = Field(
        "none", description="npy divides by the gallery's illumination functions."
    )
    pixel_size: float | None = Field(
        None,
        gt=0,
        le=1000,
        description="Micrometres per pixel of the images; recorded with features.",
    )
    resample: bool = Field(
        False, description="Take the middle `field` of each image, so that scales are alike."
    )
    field: float = Field(
        645.8, gt=0, le=1_000_000, description="Micrometres per side of what resample takes."
    )
    count_nuclei: str = Field(
        "auto",
        description="Channel whose nuclei are counted; auto finds it by name, none does not.",
    )
    thumbnails: int = Field(
        128, ge=0, le=512, description="Pixels per side of small pictures for people; 0 for none."
    )
    workers: Literal["auto"] | int = Field(
        "auto", description="Threads that read and decode; auto is one per core."
    )

    @property
    def n_workers(self) -> int:
        """Threads."""
        return (os.cpu_count() or 1) if self.workers == "auto" else self.workers

    @property
    def side(self) -> int | None:
        """Pixels per side of the middle that is taken of each image; None takes all of it."""
        if not self.resample or self.pixel_size is None:
            return None
        return round(self.field / self.pixel_size)

    @model_validator(mode="after")
    def _scale_is_known(self) -> Self:
        if self.resample and self.pixel_size is None:
            raise ValueError("resample needs pixel_size, the micrometres per pixel of the images")
        return self

    def nuclear_channel(self, channels: Iterable[str]) -> str | None:
        """The channel whose nuclei are counted, among these; None where there is none.

        Raises:
            InputError: A channel is named that is not there.
        """
        names = list(channels)
        match self.count_nuclei:
            case "none":
                return None
            case "auto":
                found = [name for name in names if name.lower() in NUCLEAR_STAINS]
                return found[0] if found else None
            case name if name in names:
                return name
            case name:
                raise InputError(
                    f"image_features.preprocess.count_nuclei names {name}, which is no channel; "
                    f"there are {', '.join(names)}, and none and auto"
                )

    @field_validator("workers")
    @classmethod
    def _at_least_one(cls, workers: str | int) -> str | int:
        if isinstance(workers, int) and not 1 <= workers <= _MOST_WORKERS:
            raise ValueError(f"1 to {_MOST_WORKERS} threads read, a few per core")
        return workers
