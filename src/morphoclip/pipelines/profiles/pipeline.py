"""Profiles pipeline: published profiles to plate features, in the place of images."""

from kedro.pipeline import Node, Pipeline

from morphoclip.gallery.metadata import describe_wells, index_wells, read_perturbations
from morphoclip.pipelines.profiles.nodes import read_profiles, set_aside_wells


def create_pipeline(**_: object) -> Pipeline:
    """Build ``published_profiles`` -> ``plate_features``, ``perturbations`` and ``well_index``."""
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
                name="describe_profiled_wells",
            ),
            Node(
                func=read_profiles,
                inputs={
                    "published_profiles": "published_profiles",
                    "own_profiles": "own_profiles",
                    "described_wells": "described_wells",
                    "barcode_platemap": "barcode_platemap",
                    "ingestion": "params:ingestion",
                },
                outputs=["plate_features", "profiled_wells"],
                name="read_profiles",
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
                name="read_profile_perturbations",
            ),
            Node(
                func=index_wells,
                inputs={
                    "site_index": "profiled_wells",
                    "described_wells": "described_wells",
                    "barcode_platemap": "barcode_platemap",
                    "platemaps": "platemaps",
                    "perturbations": "perturbations",
                    "experiment_metadata": "experiment_metadata",
                    "ingestion": "params:ingestion",
                },
                outputs="well_index",
                name="index_profile_wells",
            ),
            Node(
                func=set_aside_wells,
                inputs={"well_index": "well_index"},
                outputs="set_aside_sites",
                name="set_aside_wells",
            ),
        ]
    )
