"""Evaluation nodes: embed, score, compare, find, report."""

import logging
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from morphoclip.columns import PROMPT_DIGEST, SUBSET, Subset, embeddings
from morphoclip.evaluation.baseline_comparison import compare_methods, single_split_sentence
from morphoclip.evaluation.config import EvaluationConfig
from morphoclip.evaluation.held_out_retrieval import (
    FEWEST_PERTURBATIONS,
    HeldOutRetrieval,
    headline_metrics,
    held_out_retrieval,
)
from morphoclip.evaluation.humble_inputs import WELL_POSITION, benchmark_of_tables, other_inputs
from morphoclip.evaluation.nearest_treatments import nearest_treatments
from morphoclip.evaluation.per_perturbation import rows_of_baselines, rows_of_profiles
from morphoclip.evaluation.perturbation_sets import mean_features
from morphoclip.evaluation.profiles import (
    embed_with,
    prompt_embeddings,
    well_profiles,
    with_subsets,
)
from morphoclip.evaluation.retrieved_texts import retrieved_texts
from morphoclip.evaluation.target_genes import target_genes
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.features.text_features import TextFeatures
from morphoclip.loaders import Loaders
from morphoclip.metrics.benchmark import benchmark
from morphoclip.metrics.embedding_quality import embedding_quality
from morphoclip.metrics.matching import match_profiles
from morphoclip.models.trained import TrainedModel
from morphoclip.report.page import write_page
from morphoclip.report.rendering import Section
from morphoclip.report.sections.published import published_section
from morphoclip.splits.inner_folds import with_validation_joined
from morphoclip.splits.manifest import require_recorded, require_same_manifest
from morphoclip.wells.assemble import assemble_wells

logger = logging.getLogger(__name__)


class EmbeddedSplit(NamedTuple):
    """Profiles with and without the model, and how the baselines rank the test perturbations."""

    well_profiles: pd.DataFrame
    prompt_embeddings: pd.DataFrame
    plain_profiles: dict[str, pd.DataFrame]
    baseline_retrieval: pd.DataFrame


def embed_wells(  # noqa: PLR0913 - one argument per catalog entry
    model: TrainedModel,
    plate_features: Loaders[PlateFeatures],
    text_features: TextFeatures,
    prompts: pd.DataFrame,
    well_index: pd.DataFrame,
    perturbations: pd.DataFrame,
    split_manifest: pd.DataFrame,
    split_record: Mapping[str, Any],
    feature_sets: Loaders[PlateFeatures],
    well_quality: pd.DataFrame | None,
    config: EvaluationConfig,
) -> EmbeddedSplit:
    """Profiles of all wells with and without the model, and the retrieval of the baselines.

    Raises:
        InputError: The split or the wells are not those of the training.
    """
    wells = assemble_wells(
        plate_features, well_index, prompts, text_features, model.config.token_normalisation
    )
    require_recorded(split_manifest, split_record)
    require_same_manifest(model.manifest_sha256, split_manifest)
    model.require_same_wells(wells)
    embedded = embed_with(model, wells, batch_size=config.batch_size, device=config.device)
    others = other_inputs(
        well_quality,
        feature_sets,
        config.untrained_features,
        wells,
        prompts,
        text_features,
        model.config.token_normalisation,
    )
    learnt_from = split_manifest
    if model.validation_joined:
        learnt_from = with_validation_joined(split_manifest)
    others_to_score = {name: table for name, table in others.items() if name != WELL_POSITION}
    return EmbeddedSplit(
        with_subsets(well_profiles(embedded, wells, model.digest, well_quality), learnt_from),
        prompt_embeddings(embedded, wells),
        {"input features": mean_features(wells)} | others_to_score,
        rows_of_baselines(wells, split_manifest, perturbations, prompts, others, seed=config.seed),
    )


def score_retrieval(
    well_profiles: pd.DataFrame, prompt_embeddings: pd.DataFrame, config: EvaluationConfig
) -> HeldOutRetrieval:
    """Retrieval of validation and test perturbations, beside chance."""
    scores = held_out_retrieval(well_profiles, prompt_embeddings, config)
    headline = headline_metrics(scores.retrieval)
    n_perturbations = int(headline["n_queries"].max())
    if n_perturbations < FEWEST_PERTURBATIONS:
        logger.warning(
            "%d test perturbation(s) are too few to say whether texts are retrieved; "
            "splitting.test_fraction holds out more, cross_validation each in turn",
            n_perturbations,
        )
        return scores
    train = set(well_profiles.loc[well_profiles[SUBSET] == Subset.TRAIN, PROMPT_DIGEST])
    test = set(well_profiles.loc[well_profiles[SUBSET] == Subset.TEST, PROMPT_DIGEST])
    what = "known" if train & test else "held-out"
    lines = [f"{what} perturbations, image to text (value / chance)"]
    for scope, rows in headline.groupby("scope", sort=False):
        numbers = rows.set_index("metric")
        lines.append(
            f"  {scope:<16}"
            + "  ".join(
                f"{name} {numbers.loc[name, 'value']:.3f} / {numbers.loc[name, 'chance']:.3f}"
                for name in ("mrr", "recall@1")
            )
            + f"  n {rows['n_queries'].iloc[0]}"
        )
    logger.info("\n".join(lines))
    return scores


def compare_with_baselines(
    well_profiles: pd.DataFrame,
    prompt_embeddings: pd.DataFrame,
    baseline_retrieval: pd.DataFrame,
    config: EvaluationConfig,
) -> pd.DataFrame:
    """The model and the baselines on the same test perturbations, with paired differences."""
    of_model = rows_of_profiles(well_profiles, prompt_embeddings, Subset.TEST)
    rows = pd.concat([of_model, baseline_retrieval], ignore_index=True)
    comparison = compare_methods(rows, config.bootstrap)
    logger.info(single_split_sentence(comparison))
    return comparison


def score_matching(
    well_profiles: pd.DataFrame, plain_profiles: dict[str, pd.DataFrame], config: EvaluationConfig
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Distance to controls, identification and gene matching; the CPJUMP1 benchmark."""
    embedded = embeddings(well_profiles)
    tracks = [
        benchmark(well_profiles, embedded, config.null, profiles="trained model"),
        benchmark_of_tables(well_profiles, plain_profiles, config.null),
    ]
    return match_profiles(well_profiles, embedded), pd.concat(tracks, ignore_index=True)


def score_embedding(well_profiles: pd.DataFrame, prompt_embeddings: pd.DataFrame) -> pd.DataFrame:
    """Alignment, spread, what plates leave in the embedding, and signs of collapse."""
    row_of = {digest: n for n, digest in enumerate(prompt_embeddings[PROMPT_DIGEST])}
    return embedding_quality(
        well_profiles,
        embeddings(well_profiles),
        well_profiles[PROMPT_DIGEST].map(row_of).to_numpy(dtype=np.int64),
        embeddings(prompt_embeddings),
    )


class FoundTreatments(NamedTuple):
    """Closest texts, most similar treatments, and ranks of target genes."""

    retrieved_texts: pd.DataFrame
    nearest_treatments: pd.DataFrame
    target_genes: pd.DataFrame


def find_treatments(
    well_profiles: pd.DataFrame,
    prompt_embeddings: pd.DataFrame,
    prompts: pd.DataFrame,
    perturbations: pd.DataFrame,
    config: EvaluationConfig,
) -> FoundTreatments:
    """For each treatment: the closest texts, similar treatments, and its target genes."""
    return FoundTreatments(
        retrieved_texts(well_profiles, prompt_embeddings, prompts, top_k=config.top_k),
        nearest_treatments(well_profiles, perturbations, top_k=config.top_k),
        target_genes(well_profiles, perturbations),
    )


def write_report(*sections: Section) -> str:
    """One HTML page about the run, sections in this order."""
    return write_page([*sections, published_section()])
