"""Training pipeline: features and a split to a model."""

from kedro.pipeline import Node, Pipeline

from morphoclip.pipelines.training.nodes import train_model


def create_pipeline(**_: object) -> Pipeline:
    """Build ``plate_features``, ``text_features``, ``split_manifest`` -> ``model``."""
    return Pipeline(
        [
            Node(
                func=train_model,
                inputs={
                    "plate_features": "plate_features",
                    "text_features": "text_features",
                    "prompts": "prompts",
                    "well_index": "well_index",
                    "split_manifest": "split_manifest",
                    "split_record": "split_record",
                    "model": "params:model",
                    "training": "params:training",
                    "checkpoints": "checkpoints",
                    "epoch_log": "epoch_log",
                },
                outputs=["model", "model_record", "training_history"],
                name="train_model",
            ),
        ]
    )
