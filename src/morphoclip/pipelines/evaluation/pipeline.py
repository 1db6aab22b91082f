"""Evaluation pipeline: a model and held-out wells to numbers, figures and a report."""

from kedro.pipeline import Node, Pipeline

from morphoclip.pipelines.evaluation.nodes import (
    answer_questions,
    compare_with_baselines,
    embed_wells,
    score_embedding,
    score_profiles,
    score_retrieval,
    write_report,
)


def create_pipeline(**_: object) -> Pipeline:
    """Build ``model`` and ``plate_features`` -> ``profiles``, ``retrieval_metrics``, ``report``."""
    return Pipeline(
        [
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
                    "config": "params:evaluation",
                },
                outputs=[
                    "profiles",
                    "prompt_embeddings",
                    "untrained_profiles",
                    "baseline_queries",
                ],
                name="embed_wells",
            ),
            Node(
                func=score_retrieval,
                inputs={
                    "profiles": "profiles",
                    "prompt_embeddings": "prompt_embeddings",
                    "config": "params:evaluation",
                },
                outputs=["retrieval_metrics", "permutation_test"],
                name="score_retrieval",
            ),
            Node(
                func=compare_with_baselines,
                inputs={
                    "profiles": "profiles",
                    "prompt_embeddings": "prompt_embeddings",
                    "baseline_queries": "baseline_queries",
                    "config": "params:evaluation",
                },
                outputs="query_summary",
                name="compare_with_baselines",
            ),
            Node(
                func=score_profiles,
                inputs={
                    "profiles": "profiles",
                    "untrained_profiles": "untrained_profiles",
                    "config": "params:evaluation",
                },
                outputs=["matching_metrics", "benchmark_metrics"],
                name="score_profiles",
            ),
            Node(
                func=score_embedding,
                inputs={"profiles": "profiles", "prompt_embeddings": "prompt_embeddings"},
                outputs="embedding_quality",
                name="score_embedding",
            ),
            Node(
                func=answer_questions,
                inputs={
                    "profiles": "profiles",
                    "prompt_embeddings": "prompt_embeddings",
                    "prompts": "prompts",
                    "perturbations": "perturbations",
                    "config": "params:evaluation",
                },
                outputs=["retrieved_texts", "look_alikes", "target_genes"],
                name="answer_questions",
            ),
            Node(
                func=write_report,
                inputs={
                    "ingestion": "params:ingestion",
                    "prompts": "prompts",
                    "model": "model",
                    "well_index": "well_index",
                    "set_aside_sites": "set_aside_sites",
                    "site_qc": "site_qc",
                    "plate_intensities": "plate_intensities",
                    "split_manifest": "split_manifest",
                    "split_summary": "split_summary",
                    "leakage_report": "leakage_report",
                    "training_history": "training_history",
                    "retrieval_metrics": "retrieval_metrics",
                    "permutation_test": "permutation_test",
                    "query_summary": "query_summary",
                    "matching_metrics": "matching_metrics",
                    "benchmark_metrics": "benchmark_metrics",
                    "retrieved_texts": "retrieved_texts",
                    "look_alikes": "look_alikes",
                    "target_genes": "target_genes",
                    "quality": "embedding_quality",
                    "profiles": "profiles",
                },
                outputs=[
                    "report",
                    "training_curves",
                    "retrieval_figure",
                    "rankers_figure",
                    "benchmark_figure",
                    "projection_figure",
                ],
                name="write_report",
            ),
        ]
    )
