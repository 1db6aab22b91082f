"""Pack-model pipeline: a trained model to a folder that needs no project."""

from kedro.pipeline import Node, Pipeline

from morphoclip.pipelines.pack_model.nodes import pack_model, write_card


def create_pipeline(**_: object) -> Pipeline:
    """Build ``model`` and its results -> ``bundle``."""
    parameters = {"images": "params:image_features", "config": "params:pack_model"}
    return Pipeline(
        [
            Node(
                func=write_card,
                inputs={
                    "model": "model",
                    "well_index": "well_index",
                    "split_record": "split_record",
                    "split_summary": "split_summary",
                    "leakage_report": "leakage_report",
                    "baseline_comparison": "baseline_comparison",
                    "adapters": "adapters",
                    "ingestion": "params:ingestion",
                    **parameters,
                },
                outputs="model_card",
                name="write_card",
            ),
            Node(
                func=pack_model,
                inputs={
                    "model": "model",
                    "card": "model_card",
                    "prompts": "prompts",
                    "prompt_embeddings": "prompt_embeddings",
                    "well_profiles": "well_profiles",
                    "perturbations": "perturbations",
                    "adapters": "adapters",
                    "text": "params:text_features",
                    **parameters,
                },
                outputs="bundle",
                name="pack_model",
            ),
        ]
    )
