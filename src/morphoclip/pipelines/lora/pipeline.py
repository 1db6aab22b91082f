"""LoRA pipeline: images and trained towers to an adapter."""

from kedro.pipeline import Node, Pipeline

from morphoclip.pipelines.lora.nodes import train_adapter


def create_pipeline(**_: object) -> Pipeline:
    """Build ``site_tensors``, ``trained_models`` -> ``trained_adapters`` and ``model``."""
    return Pipeline(
        [
            Node(
                func=train_adapter,
                inputs={
                    "site_tensors": "site_tensors",
                    "plate_features": "plate_features",
                    "text_features": "text_features",
                    "prompts": "prompts",
                    "well_index": "well_index",
                    "split_manifest": "split_manifest",
                    "split_record": "split_record",
                    "trained_models": "trained_models",
                    "existing_adapters": "adapters",
                    "model": "params:model",
                    "training": "params:training",
                    "features": "params:image_features",
                    "lora": "params:lora",
                    "checkpoints": "checkpoints",
                    "epoch_log": "epoch_log",
                },
                outputs=["trained_adapters", "model", "model_record", "training_history"],
                name="train_adapter",
            ),
        ]
    )
