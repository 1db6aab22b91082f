"""Ingestion pipeline: raw metadata and file names to tables."""

from kedro.pipeline import Node, Pipeline

from morphoclip.gallery.metadata import describe_wells, index_wells, read_perturbations
from morphoclip.pipelines.ingestion.nodes import check_prompts, index_sites


def create_pipeline(**_: object) -> Pipeline:
    """Build ``perturbations``, ``site_index``, ``incomplete_sites`` and ``well_index``."""
    return Pipeline(
        [
            Node(
                func=describe_wells,
                inputs={
                    "wells_table": "wells_table",
                    "jump_tables": "jump_tables",
                    "ingestion": "params:ingestion",
                },
                outputs="described_wells",
                name="describe_wells",
            ),
            Node(
                func=read_perturbations,
                inputs={
                    "described_wells": "described_wells",
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
                    "described_wells": "described_wells",
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
                    "described_wells": "described_wells",
                    "barcode_platemap": "barcode_platemap",
                    "platemaps": "platemaps",
                    "perturbations": "perturbations",
                    "experiment_metadata": "experiment_metadata",
                    "ingestion": "params:ingestion",
                },
                outputs="well_index",
                name="index_wells",
            ),
            Node(
                func=check_prompts,
                inputs={
                    "perturbations": "perturbations",
                    "well_index": "well_index",
                    "text_features": "params:text_features",
                    "templates": "params:prompt_templates",
                },
                outputs=None,
                name="check_prompts",
            ),
        ]
    )
