"""Tables about what a model has learnt."""

import pandera.pandas as pa

from morphoclip.columns import (
    BROAD_SAMPLE,
    MODALITY,
    PROMPT_DIGEST,
    Modality,
    Subset,
)
from morphoclip.schemas.column_types import count, number, table, text

TRAINING_HISTORY = table(
    {
        "training": text(),
        "epoch": count(),
        "is_best": pa.Column(bool),
        "train_loss": number(),
        "validation_loss": number(nullable=True),
        "validation_loss_above_floor": number(nullable=True),
        "validation_mrr_within_modality": number(nullable=True),
        "n_validation_texts": count(),
        "learning_rate": number(),
        "temperature": number(),
        "gradient_norm": number(),
    },
    unique=["training", "epoch"],
)
"""One row per training and epoch: of each member, and of each inner fold by which the number of
epochs was chosen. Losses in nats; ``is_best`` marks the epoch whose weights were kept."""

RETRIEVAL_METRICS = table(
    {
        "subset": text(among=Subset),
        "scope": text(),
        "level": text(),
        "direction": text(),
        "metric": text(),
        "value": number(),
        "chance": number(),
        "modality_oracle": number(),
        "ci_low": number(),
        "ci_high": number(),
        "n_queries": count(),
        "n_candidates": count(),
    },
    unique=["subset", "scope", "level", "direction", "metric"],
)
"""Retrieval beside chance and beside what recognising the modality reaches; ``n_candidates`` is the
most that any query ranked."""

PER_PERTURBATION_RETRIEVAL = table(
    {
        "method": text(),
        "direction": text(),
        "split_seed": count(),
        "fold": count(),
        "seed": count(),
        PROMPT_DIGEST: text(),
        MODALITY: text(among=Modality),
        "n_candidates": count(),
        "mrr": number(),
        "recall@1": number(),
        "recall@5": number(),
        "mrr_chance": number(),
        "recall@1_chance": number(),
        "recall@5_chance": number(),
    },
    unique=["method", "direction", "split_seed", "fold", "seed", PROMPT_DIGEST],
)
"""Where each method ranks the text of each held-out perturbation, and the perturbation by its
text."""

BASELINE_COMPARISON = table(
    {
        "scope": text(),
        "direction": text(),
        "metric": text(),
        "method": text(),
        "value": number(),
        "ci_low": number(),
        "ci_high": number(),
        "chance": number(),
        "sd_over_repeats": number(nullable=True),
        "n_perturbations": count(),
        "n_repeats": count(),
        "difference": number(nullable=True),
        "difference_low": number(nullable=True),
        "difference_high": number(nullable=True),
    },
    unique=["scope", "direction", "metric", "method"],
)
"""The model and the baselines on the same perturbations; intervals over perturbations. The
direction ``both`` is the mean of the two of each perturbation."""

ZERO_SHOT = table(
    {
        "method": text(),
        "fold": count(),
        "seed": count(),
        "mechanism": text(),
        "n_compounds": count(),
        "n_candidates": count(),
        "average_precision": number(),
        "average_precision_chance": number(),
        "precision@5": number(),
        "base_rate": number(),
    },
    unique=["method", "fold", "seed", "mechanism"],
)
"""How high the compounds of a mechanism come by its bare words, none of them having been trained
on; ``base_rate`` is their share of the candidates, and what ``precision@5`` is by chance."""

ZERO_SHOT_SUMMARY = table(
    {
        "metric": text(),
        "method": text(),
        "value": number(),
        "ci_low": number(),
        "ci_high": number(),
        "chance": number(),
        "lead_of_model": number(),
        "lead_low": number(),
        "lead_high": number(),
        "n_mechanisms": count(),
    },
    unique=["metric", "method"],
)
"""Means over mechanisms; intervals over mechanisms."""

MATCHING_METRICS = table(
    {
        "task": text(),
        "track": text(),
        "stratum": text(),
        "metric": text(),
        "value": number(),
        "chance": number(nullable=True),
        "n": count(),
    },
    unique=["task", "track", "stratum", "metric"],
)
"""Profiles against profiles: distance to controls, identification, gene matching."""

BENCHMARK_METRICS = table(
    {
        "profiles": text(),
        "task": text(),
        "track": text(),
        "stratum": text(),
        "mean_average_precision": number(nullable=True),
        "chance": number(nullable=True),
        "same_position": number(nullable=True),
        "fraction_retrieved": number(nullable=True),
        "fraction_retrieved_legacy": number(nullable=True),
        "n_groups": count(),
        "flag": text(nullable=True),
    },
    unique=["profiles", "task", "track", "stratum"],
)
"""The CPJUMP1 benchmark by track; ``flag`` says why a number should not be read as it stands.
``same_position`` is what controls of one position reach in place of wells of one treatment."""

EMBEDDING_QUALITY = table(
    {"metric": text(), "scope": text(), "value": number(nullable=True)},
    unique=["metric", "scope"],
)
"""Alignment, spread, plate silhouette and signs of collapse."""

PERMUTATION_TEST = table(
    {
        "subset": text(among=Subset),
        "scope": text(),
        "value": number(),
        "null_mean": number(),
        "null_p95": number(),
        "p_value": number(),
        "null_size": count(),
    },
    unique=["subset", "scope"],
)
"""Perturbation-level image-to-text MRR against the same ranking with permuted texts."""

ABLATION_TRAININGS = table(
    {
        MODALITY: text(among=Modality),
        BROAD_SAMPLE: text(),
        PROMPT_DIGEST: text(),
        "fold": count(),
        "seed": count(),
        "n_candidates": count(),
        "mrr": number(),
        "recall@1": number(),
        "recall@5": number(),
        "mrr_chance": number(),
        "recall@1_chance": number(),
        "recall@5_chance": number(),
        "epochs": count(),
        "seconds": number(),
    },
    unique=[MODALITY, BROAD_SAMPLE, PROMPT_DIGEST],
)
"""One training of an ablation: where it ranks the text of each held-out perturbation."""

ABLATION_METRICS = table(
    {
        "parameter": text(),
        "value": text(),
        "mrr": number(),
        "ci_low": number(),
        "ci_high": number(),
        "chance": number(),
        "difference": number(nullable=True),
        "difference_low": number(nullable=True),
        "difference_high": number(nullable=True),
        "same_candidates": pa.Column(bool),
        "sd_over_seeds": number(nullable=True),
        "n_perturbations": count(),
        "n_compared": count(),
        "n_seeds": count(),
        "n_trainings": count(),
        "seconds": number(),
        "finding": text(),
    },
    unique=["parameter", "value"],
)
"""Cells of an ablation against its base cell; intervals are paired, over perturbations."""
