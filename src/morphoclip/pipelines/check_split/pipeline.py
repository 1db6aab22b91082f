"""Check pipeline: does a split made elsewhere leak?"""

from kedro.pipeline import Node, Pipeline

from morphoclip.pipelines.check_split.nodes import refuse_leaks, report_leakage


def create_pipeline(**_: object) -> Pipeline:
    """Build ``external_split`` -> ``external_split_leakage``, and fail where it leaks."""
    return Pipeline(
        [
            Node(
                func=report_leakage,
                inputs={
                    "external_split": "external_split",
                    "well_index": "well_index",
                    "perturbations": "perturbations",
                    "prompts": "prompts",
                    "config": "params:check_split",
                },
                outputs="external_split_leakage",
                name="report_leakage",
            ),
            Node(
                func=refuse_leaks,
                inputs={"external_split_leakage": "external_split_leakage"},
                outputs=None,
                name="refuse_leaks",
            ),
        ]
    )
