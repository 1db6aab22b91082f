"""Cross-validation pipeline: held-out retrieval over all folds and seeds."""

from kedro.pipeline import Node, Pipeline

from morphoclip.evaluation.cross_validation import cross_validate
from morphoclip.evaluation.fold_data import assemble_fold_data
from morphoclip.pipelines.cross_validation.nodes import compare_over_folds


def create_pipeline(**_: object) -> Pipeline:
    """Build ``plate_features`` and ``text_features`` -> ``cross_validation_metrics``."""
    return Pipeline(
        [
            Node(
                func=assemble_fold_data,
                inputs={
                    "plate_features": "plate_features",
                    "text_features": "text_features",
                    "prompts": "prompts",
                    "well_index": "well_index",
                    "perturbations": "perturbations",
                    "model": "params:model",
                    "feature_sets": "feature_sets",
                    "well_quality": "well_quality",
                    "evaluation": "params:evaluation",
                },
                outputs="fold_data",
                name="assemble_fold_data",
            ),
            Node(
                func=cross_validate,
                inputs={
                    "data": "fold_data",
                    "splitting": "params:splitting",
                    "model": "params:model",
                    "training": "params:training",
                    "checkpoints": "checkpoints",
                    "log": "epoch_log",
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
