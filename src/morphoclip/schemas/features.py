"""Tables about images and their features, and prompts."""

import pandera.pandas as pa

from morphoclip.columns import (
    BROAD_SAMPLE,
    CELL_TYPE,
    CHANNEL,
    DETAIL,
    MODALITY,
    PLATE,
    PROMPT,
    PROMPT_DIGEST,
    QUALITY,
    REASON,
    SITE,
    TIMEPOINT,
    WELL,
    Modality,
    Quality,
)
from morphoclip.schemas.column_types import ByPlate, count, number, table, text
from morphoclip.schemas.ingestion import SET_ASIDE_SITES

PLATE_INTENSITIES = table(
    {
        PLATE: text(),
        CHANNEL: text(),
        "p0_1": number(),
        "p99_9": number(),
        "maximum": number(),
        "dtype_max": number(),
        "height": number(nullable=True),
        "width": number(nullable=True),
        "n_sites_sampled": count(),
    },
    unique=[PLATE, CHANNEL],
)
"""Grey levels of a plate's channel over the sampled sites, in counts of the camera, and the size of
its images in pixels; plates that were measured before sizes were kept have none."""

SITE_QC = table(
    {
        PLATE: text(),
        WELL: text(),
        SITE: pa.Column(int),
        CHANNEL: text(),
        "mean": number(nullable=True),
        "p0_1": number(nullable=True),
        "p99_9": number(nullable=True),
        "used_range": number(nullable=True),
        "saturated_fraction": number(nullable=True),
        "focus": number(nullable=True),
        "near_empty": pa.Column("boolean", nullable=True),
        "nuclei": number(nullable=True),
        REASON: text(nullable=True),
        DETAIL: text(nullable=True),
    },
    unique=[PLATE, WELL, SITE, CHANNEL],
)
"""One row per image that was read, or could not be (then ``Metadata_reason`` says why).

``nuclei`` is how many the image shows, in the channel whose nuclei are counted.
"""

WELL_QUALITY = table(
    {
        PLATE: text(),
        WELL: text(),
        "n_sites": count(),
        "n_near_empty": count(),
        "brightness": number(),
        "nuclei": number(nullable=True),
        "nuclei_log_ratio": number(nullable=True),
        QUALITY: text(nullable=True, among=Quality),
    },
    unique=[PLATE, WELL],
)
"""One row per well whose images were read; `features.well_quality` says how they are judged.

``brightness`` is a multiple of the controls', ``nuclei`` the mean over sites,
``nuclei_log_ratio`` the natural log of it over the controls', one added to both.
"""

FEATURE_CHECK = table(
    {
        PLATE: text(),
        "expected": count(),
        "present": count(),
        "missing": count(),
        "damaged": count(),
        "stale": count(),
        "packed": pa.Column(bool),
        "example": text(nullable=True),
    },
    unique=[PLATE],
)
"""Whether the stored features of each plate are all there; ``stale`` counts settings."""

PROMPTS = table(
    {
        MODALITY: text(among=Modality),
        BROAD_SAMPLE: text(),
        CELL_TYPE: text(nullable=True),
        TIMEPOINT: text(nullable=True),
        PROMPT: text(),
        PROMPT_DIGEST: text(),
    },
    unique=[MODALITY, BROAD_SAMPLE, CELL_TYPE, TIMEPOINT],
)
"""The prompt of each perturbation; the digest is the SHA-256 of its text.

Cell type and timepoint are missing unless `text_features.context` names them.
"""

PLATE_INTENSITIES_BY_PLATE = ByPlate(PLATE_INTENSITIES)
SITE_QC_BY_PLATE = ByPlate(SITE_QC)
SET_ASIDE_SITES_BY_PLATE = ByPlate(SET_ASIDE_SITES)
WELL_QUALITY_BY_PLATE = ByPlate(WELL_QUALITY)
"""The same tables, as they are kept plate by plate."""
