"""Evaluation nodes: embed, score, draw, report."""

import logging
from collections.abc import Callable, Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from morphoclip.features.plate_features import PlateFeatures
from morphoclip.features.text_features import TextFeatures
from morphoclip.gallery.source import IngestionConfig
from morphoclip.metrics.answers import look_alikes, retrieved_texts, target_genes
from morphoclip.metrics.benchmark import NullConfig, benchmark
from morphoclip.metrics.embedding_quality import embedding_quality
from morphoclip.metrics.matching import match_profiles
from morphoclip.metrics.queries import summarise_queries, verdict
from morphoclip.metrics.scores import (
    EvaluationConfig,
    Scores,
    embedding_columns,
    profile_queries,
    score_subsets,
)
from morphoclip.models.embedding import embed_by, profile_tables
from morphoclip.models.morphoclip import MODEL_DIGEST, TrainedModel
from morphoclip.report.excerpts import headline_metrics
from morphoclip.report.figures import (
    FigureSet,
    draw_benchmark,
    draw_projection,
    draw_rankers,
    draw_retrieval,
    draw_training_curves,
)
from morphoclip.report.page import write_page
from morphoclip.schemas import PLATE, PROMPT_DIGEST, WELL, Subset
from morphoclip.splits.manifest import require_same_manifest
from morphoclip.training.cross_validation import Tables, baseline_queries
from morphoclip.training.perturbation_sets import mean_features
from morphoclip.wells.assemble import assemble_wells

logger = logging.getLogger(__name__)


class EmbeddedWells(NamedTuple):
    """Trained and untrained profiles, and how the baselines rank the test perturbations."""

    profiles: pd.DataFrame
    prompt_embeddings: pd.DataFrame
    untrained_profiles: pd.DataFrame
    baseline_queries: pd.DataFrame


def embed_wells(  # noqa: PLR0913 - one argument a catalog entry
    model: TrainedModel,
    plate_features: Mapping[str, Callable[[], PlateFeatures]],
    text_features: TextFeatures,
    prompts: pd.DataFrame,
    well_index: pd.DataFrame,
    perturbations: pd.DataFrame,
    split_manifest: pd.DataFrame,
    config: EvaluationConfig,
) -> EmbeddedWells:
    """Profiles of all wells with and without the model, and how the baselines rank."""
    wells = assemble_wells(
        plate_features, well_index, prompts, text_features, model.config.token_normalisation
    )
    require_same_manifest(model.manifest_sha256, split_manifest)
    model.require_same_wells(wells)
    embedded = embed_by(model, wells, batch_size=config.batch_size, device=config.device)
    tables = Tables(well_index, perturbations, prompts)
    profiles, prompt_embeddings = profile_tables(embedded, wells, split_manifest)
    profiles.attrs[MODEL_DIGEST] = model.digest
    return EmbeddedWells(
        profiles,
        prompt_embeddings,
        mean_features(wells),
        baseline_queries(wells, split_manifest, tables, seed=config.seed),
    )


def score_retrieval(
    profiles: pd.DataFrame, prompt_embeddings: pd.DataFrame, config: EvaluationConfig
) -> Scores:
    """Retrieval of validation and test perturbations, beside chance."""
    scores = score_subsets(profiles, prompt_embeddings, config)
    lines = ["held-out perturbations, image to text (value / chance)"]
    for scope, rows in headline_metrics(scores.retrieval).groupby("scope", sort=False):
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
    profiles: pd.DataFrame,
    prompt_embeddings: pd.DataFrame,
    baseline_queries: pd.DataFrame,
    config: EvaluationConfig,
) -> pd.DataFrame:
    """The model and simple ways on the same test perturbations, with paired differences."""
    queries = pd.concat(
        [profile_queries(profiles, prompt_embeddings, Subset.TEST), baseline_queries],
        ignore_index=True,
    )
    summary = summarise_queries(queries, draws=config.bootstrap_draws, seed=config.seed)
    logger.info(verdict(summary))
    return summary


def score_profiles(
    profiles: pd.DataFrame, untrained_profiles: pd.DataFrame, config: EvaluationConfig
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Distance to controls, identification and gene matching; the CPJUMP1 benchmark."""
    embedded = profiles[embedding_columns(profiles)].to_numpy()
    untrained = untrained_profiles.loc[pd.MultiIndex.from_frame(profiles[[PLATE, WELL]])].to_numpy()
    null = NullConfig(config.null_size, config.seed)
    tracks = pd.concat(
        [
            benchmark(profiles, embedded, null, profiles="trained model"),
            benchmark(profiles, untrained, null, profiles="untrained features"),
        ],
        ignore_index=True,
    )
    return match_profiles(profiles, embedded), tracks


def score_embedding(profiles: pd.DataFrame, prompt_embeddings: pd.DataFrame) -> pd.DataFrame:
    """Alignment, spread, what plates leave in the embedding, and signs of collapse."""
    dims = embedding_columns(profiles)
    row_of = {digest: n for n, digest in enumerate(prompt_embeddings[PROMPT_DIGEST])}
    return embedding_quality(
        profiles,
        profiles[dims].to_numpy(),
        profiles[PROMPT_DIGEST].map(row_of).to_numpy(dtype=np.int64),
        prompt_embeddings[dims].to_numpy(),
    )


class Answers(NamedTuple):
    """What was done to these cells, what looks like it, does it look like its targets."""

    retrieved_texts: pd.DataFrame
    look_alikes: pd.DataFrame
    target_genes: pd.DataFrame


def answer_questions(
    profiles: pd.DataFrame,
    prompt_embeddings: pd.DataFrame,
    prompts: pd.DataFrame,
    perturbations: pd.DataFrame,
    config: EvaluationConfig,
) -> Answers:
    """For each treatment: the words that fit, the treatments like it, its targets' places."""
    places = config.n_answers
    return Answers(
        retrieved_texts(profiles, prompt_embeddings, prompts, places=places),
        look_alikes(profiles, perturbations, places=places),
        target_genes(profiles, perturbations),
    )


class Report(NamedTuple):
    """The page, and the figures that it shows."""

    report: str
    training_curves: Figure
    retrieval_figure: Figure
    rankers_figure: Figure
    benchmark_figure: Figure
    projection_figure: Figure


def write_report(  # noqa: PLR0913 - one argument a catalog entry
    ingestion: IngestionConfig,
    prompts: pd.DataFrame,
    model: TrainedModel,
    well_index: pd.DataFrame,
    set_aside_sites: pd.DataFrame,
    site_qc: pd.DataFrame,
    plate_intensities: pd.DataFrame,
    split_manifest: pd.DataFrame,
    split_summary: pd.DataFrame,
    leakage_report: pd.DataFrame,
    training_history: pd.DataFrame,
    retrieval_metrics: pd.DataFrame,
    permutation_test: pd.DataFrame,
    query_summary: pd.DataFrame,
    matching_metrics: pd.DataFrame,
    benchmark_metrics: pd.DataFrame,
    retrieved_texts: pd.DataFrame,
    look_alikes: pd.DataFrame,
    target_genes: pd.DataFrame,
    quality: pd.DataFrame,
    profiles: pd.DataFrame,
) -> Report:
    """One HTML page about the run, and its figures."""
    figures = FigureSet(
        draw_training_curves(training_history),
        draw_retrieval(retrieval_metrics),
        draw_rankers(query_summary),
        draw_benchmark(benchmark_metrics),
        draw_projection(profiles, embedding_columns(profiles)),
    )
    page = write_page(
        source=ingestion.source,
        prompts=prompts,
        model=model,
        well_index=well_index,
        set_aside_sites=set_aside_sites,
        site_qc=site_qc,
        plate_intensities=plate_intensities,
        split_manifest=split_manifest,
        split_summary=split_summary,
        leakage=leakage_report,
        history=training_history,
        retrieval=retrieval_metrics,
        permutation=permutation_test,
        rankers=query_summary,
        matching=matching_metrics,
        benchmark=benchmark_metrics,
        retrieved_texts=retrieved_texts,
        look_alikes=look_alikes,
        target_genes=target_genes,
        quality=quality,
        figures=figures._asdict(),
    )
    return Report(page, *figures)
