"""Cross-validation pipeline: held-out retrieval over all folds and seeds."""

from kedro.pipeline import Node, Pipeline

from morphoclip.pipelines.cross_validation.nodes import compare_over_folds, train_every_fold


def create_pipeline(**_: object) -> Pipeline:
    """Build ``plate_features`` and ``text_features`` -> ``cross_validation_metrics``."""
    return Pipeline(
        [
            Node(
                func=train_every_fold,
                inputs={
                    "plate_features": "plate_features",
                    "text_features": "text_features",
                    "prompts": "prompts",
                    "well_index": "well_index",
                    "perturbations": "perturbations",
                    "splitting": "params:splitting",
                    "model": "params:model",
                    "training": "params:training",
                    "feature_sets": "feature_sets",
                    "well_quality": "well_quality",
                    "evaluation": "params:evaluation",
                    "checkpoints": "checkpoints",
                    "epoch_log": "epoch_log",
                },
                outputs="cross_validation_per_perturbation_retrieval",
                name="train_every_fold",
            ),
            Node(
                func=compare_over_folds,
                inputs={
                    "per_perturbation": "cross_validation_per_perturbation_retrieval",
                    "config": "params:evaluation",
                },
                outputs="cross_validation_metrics",
                name="compare_over_folds",
            ),
        ]
    )
