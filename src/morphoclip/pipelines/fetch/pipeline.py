"""Fetch pipeline: a bucket's tables, images or profiles to copies on this machine."""

from kedro.pipeline import Node, Pipeline

from morphoclip.pipelines.fetch.nodes import fetch_source


def create_pipeline(**_: object) -> Pipeline:
    """Copy ``gallery_tables`` and ``plate_images``; build ``fetched_parts``."""
    return Pipeline(
        [
            Node(
                func=fetch_source,
                inputs={
                    "gallery_tables": "gallery_tables",
                    "plate_images": "plate_images",
                    "ingestion": "params:ingestion",
                    "image_features": "params:image_features",
                    "config": "params:fetch",
                },
                outputs="fetched_parts",
                name="fetch_source",
            ),
        ]
    )
