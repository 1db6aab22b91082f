"""Profiles pipeline: published CellProfiler profiles instead of images."""

from kedro.pipeline import Node, Pipeline

from morphoclip.pipelines.profiles.nodes import index_profile_wells, read_profiles


def create_pipeline(**_: object) -> Pipeline:
    """Build ``published_profiles`` -> ``plate_features``, ``perturbations`` and ``well_index``."""
    return Pipeline(
        [
            Node(
                func=read_profiles,
                inputs={
                    "published_profiles": "published_profiles",
                    "barcode_platemap": "barcode_platemap",
                    "ingestion": "params:ingestion",
                },
                outputs=["plate_features", "profiled_wells"],
                name="read_profiles",
            ),
            Node(
                func=index_profile_wells,
                inputs={
                    "profiled_wells": "profiled_wells",
                    "jump_target_tables": "jump_target_tables",
                    "annotations": "compound_annotations",
                    "gene_annotations": "gene_annotations",
                    "barcode_platemap": "barcode_platemap",
                    "platemaps": "platemaps",
                    "experiment_metadata": "experiment_metadata",
                    "ingestion": "params:ingestion",
                },
                outputs=[
                    "perturbations",
                    "well_index",
                    "set_aside_sites",
                    "site_qc",
                    "plate_intensities",
                ],
                name="index_profile_wells",
            ),
        ]
    )
