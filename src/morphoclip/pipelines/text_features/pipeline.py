"""Text pipeline: perturbations to prompts, prompts to features."""

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
                outputs=["prompts", "prompt_summary"],
                name="write_prompts",
            ),
            Node(
                func=encode_texts,
                inputs={
                    "prompts": "prompts",
                    "perturbations": "perturbations",
                    "existing_cache": "existing_text_feature_cache",
                    "config": "params:text_features",
                },
                outputs=["text_features", "text_feature_cache"],
                name="encode_texts",
            ),
        ]
    )
