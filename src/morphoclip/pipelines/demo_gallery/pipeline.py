"""Demo pipeline: a synthetic gallery in the layout and formats of the real one."""

from kedro.pipeline import Node, Pipeline

from morphoclip.pipelines.demo_gallery.nodes import make_tables, render_plates


def create_pipeline(**_: object) -> Pipeline:
    """Build ``params:demo_gallery`` -> the raw files that ingestion reads, and ``demo_truth``."""
    return Pipeline(
        [
            Node(
                func=make_tables,
                inputs={"config": "params:demo_gallery", "ingestion": "params:ingestion"},
                outputs=[
                    "barcode_platemap",
                    "platemaps",
                    "jump_target_tables",
                    "experiment_metadata",
                    "compound_annotations",
                    "demo_truth",
                ],
                name="make_demo_tables",
            ),
            Node(
                func=render_plates,
                inputs={"config": "params:demo_gallery", "truth": "demo_truth"},
                outputs="plate_images",
                name="render_demo_plates",
            ),
        ]
    )
