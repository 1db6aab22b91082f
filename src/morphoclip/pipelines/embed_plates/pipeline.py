"""Embedding pipeline: any plates to profiles in the space of a packed model."""

from kedro.pipeline import Node, Pipeline

from morphoclip.evaluation.anndata_profiles import wells_and_consensus
from morphoclip.pipelines.embed_plates.nodes import embed_plates


def create_pipeline(**_: object) -> Pipeline:
    """Build ``bundle`` and ``plate_features`` -> ``embedded_plates``."""
    return Pipeline(
        [
            Node(
                func=embed_plates,
                inputs={
                    "bundle": "bundle_on_demand",
                    "plate_features": "plate_features",
                    "well_index": "well_index",
                    "well_quality": "well_quality",
                    "config": "params:embed_plates",
                    "evaluation": "params:evaluation",
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
