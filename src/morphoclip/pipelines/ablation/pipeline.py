"""Ablation pipeline: one training per cell, fold and seed; then a table and a figure."""

from kedro.pipeline import Node, Pipeline

from morphoclip.pipelines.ablation.nodes import compare_grid, plan_ablation, train_grid


def create_pipeline(**_: object) -> Pipeline:
    """Build ``feature_sets`` and metadata -> ``ablation_metrics`` and ``ablation_figures``."""
    return Pipeline(
        [
            Node(
                func=plan_ablation,
                inputs={
                    "feature_sets": "feature_sets",
                    "well_index": "well_index",
                    "perturbations": "perturbations",
                    "text_cache": "existing_text_feature_cache",
                    "templates": "params:prompt_templates",
                    "image_features": "params:image_features",
                    "text_features": "params:text_features",
                    "splitting": "params:splitting",
                    "model": "params:model",
                    "training": "params:training",
                    "config": "params:ablation",
                },
                outputs="ablation_plan",
                name="plan_ablation",
            ),
            Node(
                func=train_grid,
                inputs={
                    "ablation": "ablation_plan",
                    "done": "existing_ablation_trainings",
                    "checkpoints": "checkpoints",
                    "epoch_log": "epoch_log",
                },
                outputs="ablation_trainings",
                name="train_grid",
            ),
            Node(
                func=compare_grid,
                inputs={
                    "ablation": "ablation_plan",
                    "trainings": "ablation_trainings",
                    "config": "params:evaluation",
                },
                outputs=["ablation_metrics", "ablation_figures"],
                name="compare_grid",
            ),
        ]
    )
