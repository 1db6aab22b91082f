"""Tables of profiles: the product of a trained model."""

import pandera.pandas as pa

from morphoclip.columns import (
    MODEL,
    NORMALISED_BY,
    PLATE,
    PROMPT_DIGEST,
    QUALITY,
    REFERENCE,
    SUBSET,
    WELL,
    Quality,
    Subset,
)
from morphoclip.schemas.column_types import WithEmbedding, table, text
from morphoclip.schemas.ingestion import WELL_INDEX

_WELL = dict(WELL_INDEX.columns) | {PROMPT_DIGEST: text()}
_IMAGED = {REFERENCE: pa.Column(bool), QUALITY: text(nullable=True, among=Quality)}
_MADE_BY = _IMAGED | {MODEL: text()}

WELL_PROFILES = WithEmbedding(
    table(
        _WELL | {SUBSET: text(nullable=True, among=Subset)} | _MADE_BY,
        unique=[PLATE, WELL],
    )
)
"""One row per well: what was done to it, its subset, and its embedding.

``Metadata_reference`` marks controls that its plate was normalised by, ``Metadata_quality`` says
what is wrong with its images, ``Metadata_model`` the weights that made the profile.
"""

EMBEDDED_PLATES = WithEmbedding(
    table(
        dict(WELL_INDEX.columns) | _MADE_BY | {NORMALISED_BY: text()},
        unique=[PLATE, WELL],
    )
)
"""The same of plates that were in no split, and have no prompts."""

IMAGE_PROFILES = WithEmbedding(
    table(dict(WELL_INDEX.columns) | _IMAGED | {NORMALISED_BY: text()}, unique=[PLATE, WELL])
)
"""Profiles without a model: means of each well's image features."""

PROMPT_EMBEDDINGS = WithEmbedding(table({PROMPT_DIGEST: text()}, unique=[PROMPT_DIGEST]))
"""One row per distinct prompt."""
