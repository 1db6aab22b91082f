"""Tables about which wells train, validate and test."""

import pandera.pandas as pa

from morphoclip.columns import (
    BROAD_SAMPLE,
    ENTITY,
    FOLD,
    GENE,
    MODALITY,
    PLATE,
    REASON,
    ROLE,
    SUBSET,
    WELL,
    Modality,
    Role,
    Subset,
)
from morphoclip.schemas.column_types import count, table, text

SPLIT_MANIFEST = table(
    {
        PLATE: text(),
        WELL: text(),
        MODALITY: text(among=Modality),
        ROLE: text(among=Role),
        BROAD_SAMPLE: text(nullable=True),
        ENTITY: text(nullable=True),
        GENE: text(nullable=True),
        SUBSET: text(among=Subset),
        REASON: text(nullable=True),
        FOLD: pa.Column("Int64", nullable=True),
    },
    unique=[PLATE, WELL],
)
"""Every well's subset; `split_record` holds strategy, parameters and the SHA-256 of this table."""

SPLIT_SUMMARY = table(
    {
        SUBSET: text(among=Subset),
        MODALITY: text(among=Modality),
        ROLE: text(among=Role),
        "plates": count(),
        "wells": count(),
        "perturbations": count(),
        "entities": count(),
        "genes": count(),
    },
    unique=[SUBSET, MODALITY, ROLE],
)
"""How much each subset holds."""

LEAKAGE_REPORT = table(
    {
        "subset": text(among=Subset),
        "other_subset": text(among=Subset),
        "what": text(),
        "shared": count(),
        "verdict": text(),
        "example": text(nullable=True),
    },
    unique=["subset", "other_subset", "what"],
)
"""What each pair of subsets has in common."""
