"""Check pipeline: does a split of the user's own leak?"""

from kedro.pipeline import Node, Pipeline

from morphoclip.pipelines.check_split.nodes import refuse_leaks, report_on_split


def create_pipeline(**_: object) -> Pipeline:
    """Build ``split_to_check`` -> ``split_check``, and fail where it leaks."""
    return Pipeline(
        [
            Node(
                func=report_on_split,
                inputs={
                    "split_to_check": "split_to_check",
                    "well_index": "well_index",
                    "perturbations": "perturbations",
                    "prompts": "prompts",
                    "config": "params:check_split",
                },
                outputs="split_check",
                name="report_on_split",
            ),
            Node(
                func=refuse_leaks,
                inputs={"split_check": "split_check"},
                outputs=None,
                name="refuse_leaks",
            ),
        ]
    )
