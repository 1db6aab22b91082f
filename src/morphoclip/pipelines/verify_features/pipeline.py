"""Verification pipeline: are the features of every plate there, whole and up to date?"""

from kedro.pipeline import Node, Pipeline

from morphoclip.pipelines.verify_features.nodes import check_features, require_complete_features


def create_pipeline(**_: object) -> Pipeline:
    """Build ``feature_check`` from what is on disk, and fail where it is not complete."""
    return Pipeline(
        [
            Node(
                func=check_features,
                inputs={
                    "site_index": "site_index",
                    "set_aside_sites": "set_aside_sites",
                    "existing_features": "existing_site_features",
                    "existing_records": "existing_plate_records",
                    "existing_plates": "existing_plate_features",
                    "adapters": "adapters",
                    "ingestion": "params:ingestion",
                    "config": "params:image_features",
                },
                outputs="feature_check",
                name="check_features",
            ),
            Node(
                func=require_complete_features,
                inputs={"feature_check": "feature_check"},
                outputs=None,
                name="require_complete_features",
            ),
        ]
    )
