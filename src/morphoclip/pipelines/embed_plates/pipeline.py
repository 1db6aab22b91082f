"""Embedding pipeline: a trained model and any plates to profiles."""

from kedro.pipeline import Node, Pipeline

from morphoclip.evaluation.anndata_profiles import wells_and_consensus
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
                    "well_quality": "well_quality",
                    "config": "params:evaluation",
                },
                outputs="embedded_plates",
                name="embed_plates",
            ),
            Node(
                func=wells_and_consensus,
                inputs={"profiles": "embedded_plates", "config": "params:evaluation"},
                outputs=["embedded_plates_anndata", "embedded_consensus_anndata"],
                name="write_anndata",
            ),
        ]
    )
