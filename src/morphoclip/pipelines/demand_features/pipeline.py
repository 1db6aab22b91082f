"""Demand-features pipeline: a packed model to the settings of image features."""

from kedro.pipeline import Node, Pipeline

from morphoclip.pipelines.demand_features.nodes import demand_image_features


def create_pipeline(**_: object) -> Pipeline:
    """Build ``bundle`` -> ``demanded_image_features`` and ``demanded_adapters``."""
    return Pipeline(
        [
            Node(
                func=demand_image_features,
                inputs={
                    "bundle": "bundle_on_demand",
                    "images": "params:image_features",
                    "config": "params:embed_plates",
                },
                outputs=["demanded_image_features", "demanded_adapters"],
                name="demand_image_features",
            )
        ]
    )
