"""Zero-shot pipeline: mechanisms by their words, each held out as a whole."""

from kedro.pipeline import Node, Pipeline

from morphoclip.evaluation.fold_data import assemble_fold_data
from morphoclip.pipelines.zero_shot.nodes import ask_for_mechanisms, summarise_mechanisms


def create_pipeline(**_: object) -> Pipeline:
    """Build ``plate_features`` and ``text_features`` -> ``zero_shot_words`` and its summary."""
    return Pipeline(
        [
            Node(
                func=assemble_fold_data,
                inputs={
                    "plate_features": "plate_features",
                    "text_features": "text_features",
                    "prompts": "prompts",
                    "well_index": "well_index",
                    "perturbations": "perturbations",
                    "model": "params:model",
                    "feature_sets": "feature_sets",
                    "well_quality": "well_quality",
                    "evaluation": "params:evaluation",
                },
                outputs="fold_data",
                name="assemble_fold_data",
            ),
            Node(
                func=ask_for_mechanisms,
                inputs={
                    "data": "fold_data",
                    "splitting": "params:splitting",
                    "model": "params:model",
                    "training": "params:training",
                    "encoding": "params:text_features",
                    "evaluation": "params:evaluation",
                    "config": "params:zero_shot",
                    "checkpoints": "checkpoints",
                    "epoch_log": "epoch_log",
                },
                outputs="zero_shot_words",
                name="ask_for_mechanisms",
            ),
            Node(
                func=summarise_mechanisms,
                inputs={"zero_shot_words": "zero_shot_words", "config": "params:evaluation"},
                outputs="zero_shot_summary",
                name="summarise_mechanisms",
            ),
        ]
    )
