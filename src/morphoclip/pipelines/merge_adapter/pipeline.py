"""Merging pipeline: an adapter becomes part of its backbone."""

from kedro.pipeline import Node, Pipeline

from morphoclip.pipelines.merge_adapter.nodes import merge_adapter


def create_pipeline(**_: object) -> Pipeline:
    """Build ``adapters`` -> ``merged_backbones``."""
    return Pipeline(
        [
            Node(
                func=merge_adapter,
                inputs={"adapters": "adapters", "features": "params:image_features"},
                outputs="merged_backbones",
                name="merge_adapter",
            ),
        ]
    )
