"""Text pipeline: perturbations to words, words to features."""

from kedro.pipeline import Node, Pipeline

from morphoclip.pipelines.text_features.nodes import encode_texts, write_prompts


def create_pipeline(**_: object) -> Pipeline:
    """Build ``perturbations`` -> ``prompts`` -> ``text_features``."""
    return Pipeline(
        [
            Node(
                func=write_prompts,
                inputs={"perturbations": "perturbations", "config": "params:text_features"},
                outputs="prompts",
                name="write_prompts",
            ),
            Node(
                func=encode_texts,
                inputs={"prompts": "prompts", "config": "params:text_features"},
                outputs="text_features",
                name="encode_texts",
            ),
        ]
    )
