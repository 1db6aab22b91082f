"""Text pipeline: perturbations to words, words to features."""

from kedro.pipeline import Node, Pipeline

from morphoclip.pipelines.text_features.nodes import encode_texts, write_prompts


def create_pipeline(**_: object) -> Pipeline:
    """Build ``perturbations`` -> ``prompts`` -> ``text_features``."""
    return Pipeline(
        [
            Node(
                func=write_prompts,
                inputs={
                    "perturbations": "perturbations",
                    "well_index": "well_index",
                    "config": "params:text_features",
                    "templates": "params:prompt_templates",
                },
                outputs="prompts",
                name="write_prompts",
            ),
            Node(
                func=encode_texts,
                inputs={
                    "prompts": "prompts",
                    "known_features": "known_text_features_on_disk",
                    "config": "params:text_features",
                },
                outputs=["text_features", "known_text_features"],
                name="encode_texts",
            ),
        ]
    )
