"""Tables that say what a model finds similar."""

import pandera.pandas as pa

from morphoclip.columns import (
    BROAD_SAMPLE,
    CONDITION,
    GENE,
    MODALITY,
    PLATE,
    PROMPT,
    QUALITY,
    SUBSET,
    WELL,
    Modality,
)
from morphoclip.schemas.column_types import count, number, table, text

RETRIEVED_TEXTS = table(
    {
        MODALITY: text(among=Modality),
        PROMPT: text(),
        "rank_of_true": number(),
        "n_candidates": count(),
        "rank": count(),
        "retrieved": text(),
        "similarity": number(),
        "similarity_sd": number(nullable=True),
        "is_true": pa.Column(bool),
    },
    unique=[PROMPT, "rank"],
)
"""The texts closest to the images of each held-out perturbation; ``is_true`` marks its own text.
``similarity_sd``, here and below: standard deviation of the similarity over the members of the
model and its closed form, nothing where there is one alone."""

NEAREST_TREATMENTS = table(
    {
        CONDITION: text(),
        MODALITY: text(among=Modality),
        BROAD_SAMPLE: text(),
        "name": text(),
        SUBSET: text(nullable=True),
        "other_condition": text(),
        "other_modality": text(among=Modality),
        "other_broad_sample": text(),
        "other_name": text(),
        "other_subset": text(nullable=True),
        "rank": count(),
        "similarity": number(),
        "similarity_sd": number(nullable=True),
        "z": number(nullable=True),
        "z_expected_null": number(),
        "p": number(nullable=True),
        "q": number(nullable=True),
        "n_wells": count(),
        "note": text(nullable=True),
        "shared_targets": text(nullable=True),
        "shared_mechanisms": text(nullable=True),
    },
    unique=[CONDITION, BROAD_SAMPLE, "other_condition", "rank"],
)
"""The treatments most similar to each treatment. ``z``: similarity minus that of control wells, in
standard errors; ``z_expected_null``: the z expected at that rank where no treatment differs from
controls; ``p``: share of draws of as many control wells that are as similar; ``q``: its false
discovery rate over the candidates; ``n_wells``: wells of the other treatment; ``note`` says where
most wells of one or both show few cells or none: fields without cells look alike, whatever emptied
them."""

SIMILAR_TREATMENTS = table(
    {
        "query": text(),
        "query_condition": text(),
        CONDITION: text(),
        MODALITY: text(among=Modality),
        BROAD_SAMPLE: text(),
        "name": text(),
        GENE: text(nullable=True),
        SUBSET: text(nullable=True),
        "rank": count(),
        "similarity": number(),
        "similarity_sd": number(nullable=True),
        "z": number(nullable=True),
        "z_expected_null": number(),
        "p": number(nullable=True),
        "q": number(nullable=True),
        "note": text(nullable=True),
        "shared_targets": text(nullable=True),
        "shared_mechanisms": text(nullable=True),
    },
    unique=["query", "query_condition", CONDITION, "rank"],
)
"""The treatments most similar to a text or a treatment that a user asked about."""

SIMILAR_WELLS = table(
    {
        "query": text(),
        "query_condition": text(),
        PLATE: text(),
        WELL: text(),
        CONDITION: text(),
        MODALITY: text(among=Modality),
        BROAD_SAMPLE: text(nullable=True),
        GENE: text(nullable=True),
        SUBSET: text(nullable=True),
        QUALITY: text(nullable=True),
        "name": text(nullable=True),
        "rank": count(),
        "similarity": number(),
        "z": number(nullable=True),
        "p": number(nullable=True),
        "q": number(nullable=True),
        "shared_targets": text(nullable=True),
        "shared_mechanisms": text(nullable=True),
    },
    unique=["query", "query_condition", "rank"],
)
"""The treated wells most similar to what a user asked about. ``z``: in standard deviations of the
control wells of the well's condition; ``p``: share of these that are as similar; ``q``: its false
discovery rate over all treated wells."""

SIMILAR_TEXTS = table(
    {
        "query": text(),
        "query_condition": text(),
        PROMPT: text(),
        MODALITY: text(nullable=True),
        SUBSET: text(nullable=True),
        "rank": count(),
        "similarity": number(),
        "p": number(nullable=True),
        "q": number(nullable=True),
    },
    unique=["query", "query_condition", "rank"],
)
"""The texts closest to what a user asked about; ``p`` and ``q`` where that is made of wells."""

TARGET_GENES = table(
    {
        CONDITION: text(),
        BROAD_SAMPLE: text(),
        "name": text(),
        SUBSET: text(nullable=True),
        "other_condition": text(),
        "other_modality": text(among=Modality),
        "gene": text(),
        "other_subset": text(nullable=True),
        "rank": number(),
        "n_genes": count(),
        "similarity": number(),
        "similarity_sd": number(nullable=True),
        "z": number(nullable=True),
    },
    unique=[CONDITION, BROAD_SAMPLE, "other_condition", "gene"],
)
"""Where a compound's target genes rank among the genes that were knocked out or overexpressed."""
