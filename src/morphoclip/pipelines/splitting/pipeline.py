"""Splitting pipeline: which wells train, validate and test."""

from kedro.pipeline import Node, Pipeline

from morphoclip.pipelines.splitting.nodes import split_wells


def create_pipeline(**_: object) -> Pipeline:
    """Build ``well_index`` -> ``split_manifest`` and ``leakage_report``."""
    return Pipeline(
        [
            Node(
                func=split_wells,
                inputs={
                    "well_index": "well_index",
                    "perturbations": "perturbations",
                    "prompts": "prompts",
                    "official_splits": "official_splits",
                    "config": "params:splitting",
                },
                outputs=["split_manifest", "split_record", "leakage_report", "split_summary"],
                name="split_wells",
            ),
        ]
    )
