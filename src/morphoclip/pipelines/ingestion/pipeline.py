"""Ingestion pipeline: raw metadata and file names to tables."""

from kedro.pipeline import Node, Pipeline

from morphoclip.gallery.metadata import index_wells, read_perturbations
from morphoclip.pipelines.ingestion.nodes import index_sites


def create_pipeline(**_: object) -> Pipeline:
    """Build ``perturbations``, ``site_index``, ``incomplete_sites`` and ``well_index``."""
    return Pipeline(
        [
            Node(
                func=read_perturbations,
                inputs={
                    "jump_target_tables": "jump_target_tables",
                    "annotations": "compound_annotations",
                    "gene_annotations": "gene_annotations",
                },
                outputs="perturbations",
                name="read_perturbations",
            ),
            Node(
                func=index_sites,
                inputs={
                    "plate_images": "plate_images",
                    "barcode_platemap": "barcode_platemap",
                    "ingestion": "params:ingestion",
                    "image_features": "params:image_features",
                },
                outputs=["site_index", "incomplete_sites"],
                name="index_sites",
            ),
            Node(
                func=index_wells,
                inputs={
                    "site_index": "site_index",
                    "incomplete_sites": "incomplete_sites",
                    "barcode_platemap": "barcode_platemap",
                    "platemaps": "platemaps",
                    "perturbations": "perturbations",
                    "experiment_metadata": "experiment_metadata",
                    "ingestion": "params:ingestion",
                },
                outputs="well_index",
                name="index_wells",
            ),
        ]
    )
