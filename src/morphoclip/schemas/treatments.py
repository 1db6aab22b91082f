"""Tables that say what a model finds similar."""

import pandera.pandas as pa

from morphoclip.columns import (
    BROAD_SAMPLE,
    CONDITION,
    GENE,
    MODALITY,
    PROMPT,
    SUBSET,
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
        "n_wells": count(),
        "note": text(nullable=True),
        "shares_gene": pa.Column(bool),
    },
    unique=[CONDITION, BROAD_SAMPLE, "other_condition", "rank"],
)
"""The treatments most similar to each treatment. ``z``: similarity minus that of control wells, in
standard errors; ``z_expected_null``: the z expected at that rank where no treatment differs from
controls; ``n_wells``: wells of the other treatment; ``note`` says where most wells of one or both
show few cells or none: fields without cells look alike, whatever emptied them."""

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
        "note": text(nullable=True),
    },
    unique=["query", "query_condition", CONDITION, "rank"],
)
"""The treatments most similar to a text or a treatment that a user asked about."""

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
