"""Look-up pipeline: which treatments look like these words, or like this treatment?"""

from kedro.pipeline import Node, Pipeline

from morphoclip.pipelines.look_up.nodes import look_up


def create_pipeline(**_: object) -> Pipeline:
    """Build ``model`` and ``profiles`` -> ``looked_up``."""
    return Pipeline(
        [
            Node(
                func=look_up,
                inputs={
                    "model": "model",
                    "profiles": "profiles",
                    "perturbations": "perturbations",
                    "prompts": "prompts",
                    "text_features": "text_features",
                    "config": "params:look_up",
                    "encoding": "params:text_features",
                },
                outputs="looked_up",
                name="look_up",
            ),
        ]
    )
