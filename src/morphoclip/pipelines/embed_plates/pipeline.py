"""Embedding pipeline: a trained model and any plates to profiles."""

from kedro.pipeline import Node, Pipeline

from morphoclip.pipelines.embed_plates.nodes import embed_plates


def create_pipeline(**_: object) -> Pipeline:
    """Build ``model`` and ``plate_features`` -> ``embedded_plates``."""
    return Pipeline(
        [
            Node(
                func=embed_plates,
                inputs={
                    "model": "model",
                    "plate_features": "plate_features",
                    "text_features": "text_features",
                    "prompts": "prompts",
                    "well_index": "well_index",
                    "config": "params:evaluation",
                },
                outputs="embedded_plates",
                name="embed_plates",
            ),
        ]
    )
