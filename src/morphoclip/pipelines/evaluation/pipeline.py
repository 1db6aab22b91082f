"""Evaluation pipeline: a model and held-out wells to numbers, figures and a report."""

from collections.abc import Callable

from kedro.pipeline import Node, Pipeline

from morphoclip.evaluation.anndata_profiles import wells_and_consensus
from morphoclip.pipelines.evaluation.nodes import (
    compare_with_baselines,
    embed_wells,
    find_treatments,
    score_embedding,
    score_matching,
    score_retrieval,
    write_report,
)
from morphoclip.report.rendering import Section, section_node
from morphoclip.report.sections.baselines import baselines_section
from morphoclip.report.sections.data import data_section
from morphoclip.report.sections.embedding import embedding_section
from morphoclip.report.sections.headline import headline_section
from morphoclip.report.sections.images import images_section
from morphoclip.report.sections.matching import matching_section
from morphoclip.report.sections.overview import overview_section
from morphoclip.report.sections.replicability import replicability_section
from morphoclip.report.sections.results import results_section
from morphoclip.report.sections.retrieval import retrieval_section
from morphoclip.report.sections.split import split_section
from morphoclip.report.sections.texts import texts_section
from morphoclip.report.sections.training import training_section

# in the order of the page: the section, the tables that it reads, the figures that it draws
SECTIONS: tuple[tuple[Callable[..., Section], list[str], list[str]], ...] = (
    (overview_section, ["params:ingestion", "well_index", "model"], []),
    (
        headline_section,
        ["retrieval_metrics", "permutation_test", "baseline_comparison", "leakage_report"],
        ["retrieval_figure"],
    ),
    (
        results_section,
        [
            "retrieved_texts",
            "target_genes",
            "nearest_treatments",
            "thumbnails",
            "well_profiles",
            "plate_records",
        ],
        [],
    ),
    (data_section, ["well_index", "set_aside_sites"], []),
    (texts_section, ["prompts", "prompt_summary"], []),
    (images_section, ["site_qc", "plate_intensities", "well_quality", "well_index"], []),
    (split_section, ["split_record", "split_summary", "leakage_report"], []),
    (training_section, ["model", "training_history"], ["training_curves"]),
    (retrieval_section, ["retrieval_metrics", "permutation_test"], []),
    (baselines_section, ["baseline_comparison"], ["baseline_comparison_figure"]),
    (
        replicability_section,
        ["benchmark_metrics", "prompt_summary", "split_record"],
        ["benchmark_figure"],
    ),
    (matching_section, ["matching_metrics"], []),
    (embedding_section, ["embedding_quality", "well_profiles"], ["projection_figure"]),
)


def create_pipeline(**_: object) -> Pipeline:
    """Build ``model`` and ``plate_features`` -> ``well_profiles``, metrics and ``report``."""
    return Pipeline([*_scores(), *_report()])


def _scores() -> list[Node]:
    embedded = {"well_profiles": "well_profiles", "prompt_embeddings": "prompt_embeddings"}
    config = {"config": "params:evaluation"}
    return [
        Node(
            func=embed_wells,
            inputs={
                "model": "model",
                "plate_features": "plate_features",
                "text_features": "text_features",
                "prompts": "prompts",
                "well_index": "well_index",
                "perturbations": "perturbations",
                "split_manifest": "split_manifest",
                "split_record": "split_record",
                "feature_sets": "feature_sets",
                "well_quality": "well_quality",
                **config,
            },
            outputs=[
                "well_profiles",
                "prompt_embeddings",
                "plain_profiles",
                "baseline_per_perturbation_retrieval",
            ],
            name="embed_wells",
        ),
        Node(
            func=score_retrieval,
            inputs=embedded | config,
            outputs=["retrieval_metrics", "permutation_test"],
            name="score_retrieval",
        ),
        Node(
            func=compare_with_baselines,
            inputs=embedded
            | {"baseline_retrieval": "baseline_per_perturbation_retrieval"}
            | config,
            outputs="baseline_comparison",
            name="compare_with_baselines",
        ),
        Node(
            func=score_matching,
            inputs={
                "well_profiles": "well_profiles",
                "plain_profiles": "plain_profiles",
                **config,
            },
            outputs=["matching_metrics", "benchmark_metrics"],
            name="score_matching",
        ),
        Node(
            func=score_embedding,
            inputs=embedded,
            outputs="embedding_quality",
            name="score_embedding",
        ),
        Node(
            func=wells_and_consensus,
            inputs={"profiles": "well_profiles", **config},
            outputs=["well_anndata", "consensus_anndata"],
            name="write_anndata",
        ),
        Node(
            func=find_treatments,
            inputs=embedded | {"prompts": "prompts", "perturbations": "perturbations"} | config,
            outputs=["retrieved_texts", "nearest_treatments", "target_genes"],
            name="find_treatments",
        ),
    ]


def _report() -> list[Node]:
    names = [section.__name__ for section, _, _ in SECTIONS]
    return [
        *(
            Node(
                func=section_node(section),
                inputs=list(tables),
                outputs={"section": section.__name__} | {name: name for name in figures},
                name=f"write_{section.__name__}",
                namespace="report",
            )
            for section, tables, figures in SECTIONS
        ),
        Node(
            func=write_report,
            inputs=names,
            outputs="report",
            name="write_report",
            namespace="report",
        ),
    ]
