"""``params:demo_gallery``."""

import hashlib

from pydantic import Field

from morphoclip.config import Config, NumberedNames, Seed


class SyntheticConfig(Config):
    """``params:demo_gallery``."""

    seed: Seed = 0
    channels: NumberedNames = Field(description="Channel names to numbers; DNA stains nuclei.")
    families: int = Field(12, ge=2, le=12)
    genes_per_family: int = Field(5, ge=1, le=5)
    plates_per_modality: int = Field(2, ge=1, le=9)
    negcon_wells: int = Field(16, ge=4, le=384)
    sites_per_well: int = Field(2, ge=1, le=16)
    image_size: int = Field(128, ge=16, le=4096, description="Pixels per side.")
    phenotype_length: float = Field(
        2.0, ge=0, le=100, description="Length of a gene's latent vector."
    )
    modality_noise: float = Field(0.3, ge=0, le=100)
    well_noise: float = Field(0.3, ge=0, le=100)
    plate_gain_sd: float = Field(0.2, ge=0, le=10, description="Natural log.")
    plate_offset_sd: float = Field(60.0, ge=0, le=65_535, description="Counts.")
    illumination_tilt: float = Field(0.1, ge=0, le=1)

    @property
    def digest(self) -> str:
        """Four characters that change with any setting."""
        return hashlib.sha256(self.model_dump_json().encode()).hexdigest()[:4]
