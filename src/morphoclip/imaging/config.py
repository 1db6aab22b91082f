"""``image_features.preprocess``: how images become model input."""

import os
from enum import StrEnum
from typing import Literal

from pydantic import Field, field_validator

from morphoclip.config import Config


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

    size: int = Field(384, ge=16, description="Pixels per side of the model's input.")
    normalise: Normalisation = Normalisation.PLATE_PERCENTILE
    resize: Resize = "area"
    illumination: Literal["none", "npy"] = Field(
        "none", description="npy divides by the gallery's illumination functions."
    )
    workers: Literal["auto"] | int = Field(
        "auto", description="Threads that read and decode; auto is one per core."
    )

    @property
    def n_workers(self) -> int:
        """Threads."""
        return (os.cpu_count() or 1) if self.workers == "auto" else self.workers

    @field_validator("workers")
    @classmethod
    def _at_least_one(cls, workers: str | int) -> str | int:
        if isinstance(workers, int) and workers < 1:
            raise ValueError("at least one thread has to read")
        return workers
