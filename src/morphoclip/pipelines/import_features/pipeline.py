"""Import pipeline: another project's per-site features, packed as ours."""

from kedro.pipeline import Node, Pipeline

from morphoclip.pipelines.import_features.nodes import import_sites


def create_pipeline(**_: object) -> Pipeline:
    """Build ``imported_sites`` -> ``plate_features``."""
    return Pipeline(
        [
            Node(
                func=import_sites,
                inputs={
                    "imported_sites": "imported_sites",
                    "config": "params:import_features",
                    "image_features": "params:image_features",
                },
                outputs="plate_features",
                name="import_sites",
            ),
        ]
    )
