"""Find-similar pipeline: which treatments are most similar to a text or a treatment?"""

from kedro.pipeline import Node, Pipeline

from morphoclip.pipelines.find_similar.nodes import find_similar


def create_pipeline(**_: object) -> Pipeline:
    """Build ``model`` and ``well_profiles`` -> ``similar_treatments``."""
    return Pipeline(
        [
            Node(
                func=find_similar,
                inputs={
                    "model_record": "model_record",
                    "model": "model_on_demand",
                    "well_profiles": "well_profiles",
                    "prompt_embeddings": "prompt_embeddings",
                    "perturbations": "perturbations",
                    "prompts": "prompts",
                    "text_features": "text_features_on_demand",
                    "plate_features": "existing_plate_features",
                    "well_index": "well_index",
                    "config": "params:find_similar",
                    "encoding": "params:text_features",
                },
                outputs=["similar_treatments", "similar_wells", "similar_texts"],
                name="find_similar",
            ),
        ]
    )
