"""Scoring pipeline: how do profiles of the user's own replicate and match?"""

from kedro.pipeline import Node, Pipeline

from morphoclip.pipelines.score_profiles.nodes import score_users_profiles


def create_pipeline(**_: object) -> Pipeline:
    """Build ``profiles_to_score`` -> ``scored_benchmark`` and ``scored_matching``."""
    return Pipeline(
        [
            Node(
                func=score_users_profiles,
                inputs={
                    "profiles_to_score": "profiles_to_score",
                    "well_index": "well_index",
                    "config": "params:score_profiles",
                    "evaluation": "params:evaluation",
                },
                outputs=["scored_benchmark", "scored_matching"],
                name="score_users_profiles",
            ),
        ]
    )
