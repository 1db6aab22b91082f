"""Scoring pipeline: how do profiles made elsewhere replicate and match?"""

from kedro.pipeline import Node, Pipeline

from morphoclip.pipelines.score_profiles.nodes import score_external_profiles


def create_pipeline(**_: object) -> Pipeline:
    """Build ``external_benchmark_metrics`` and ``external_matching_metrics``."""
    return Pipeline(
        [
            Node(
                func=score_external_profiles,
                inputs={
                    "external_profiles": "external_profiles",
                    "well_index": "well_index",
                    "config": "params:score_profiles",
                    "evaluation": "params:evaluation",
                },
                outputs=["external_benchmark_metrics", "external_matching_metrics"],
                name="score_external_profiles",
            ),
        ]
    )
