"""Evaluation nodes: embed, score, draw, report."""

import logging
from collections.abc import Callable, Mapping

import pandas as pd
from matplotlib.figure import Figure

from morphoclip.features.extract import resolve_device
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.features.text_features import TextFeatures
from morphoclip.gallery.source import IngestionConfig
from morphoclip.metrics.scores import EvaluationConfig, Scores, score_subsets
from morphoclip.models.embedding import ProfileTables, embed, profile_tables
from morphoclip.models.morphoclip import TrainedModel
from morphoclip.report.figures import draw_retrieval, draw_training_curves
from morphoclip.report.page import headline_metrics, write_page
from morphoclip.splits.manifest import require_same_manifest
from morphoclip.wells.assemble import assemble_wells

logger = logging.getLogger(__name__)


def embed_wells(  # noqa: PLR0913 - one argument a catalog entry
    model: TrainedModel,
    plate_features: Mapping[str, Callable[[], PlateFeatures]],
    text_features: TextFeatures,
    prompts: pd.DataFrame,
    well_index: pd.DataFrame,
    split_manifest: pd.DataFrame,
    config: EvaluationConfig,
) -> ProfileTables:
    """Profiles of all wells and embeddings of their prompts, by the trained model."""
    require_same_manifest(model.manifest_sha256, split_manifest)
    wells = assemble_wells(
        plate_features, well_index, prompts, text_features, model.config.token_normalisation
    )
    model.require_fits(wells)
    model.require_same_wells(wells)
    embedded = embed(
        model.build(),
        wells,
        offsets=model.plate_offsets,
        batch_size=config.batch_size,
        device=resolve_device(config.device),
    )
    return profile_tables(embedded, wells, split_manifest)


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


def draw_figures(
    training_history: pd.DataFrame, retrieval_metrics: pd.DataFrame
) -> tuple[Figure, Figure]:
    """Training curves; retrieval beside chance."""
    return draw_training_curves(training_history), draw_retrieval(retrieval_metrics)


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
) -> str:
    """One HTML page about the run."""
    return write_page(
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
        figures={
            "training": draw_training_curves(training_history),
            "retrieval": draw_retrieval(retrieval_metrics),
        },
    )
