"""The table of contents: every pipeline by name.

A pipeline's modules are imported when it is asked for: `kedro run --pipeline find_similar` does not
wait for what only image features need.
"""

from collections.abc import Sequence
from importlib import import_module

from kedro.framework.project import pipelines
from kedro.pipeline import Pipeline

STAGES = ("ingestion", "image_features", "text_features", "splitting", "training", "evaluation")
"""The stages of the main job, one box each in kedro viz: the namespaces of their nodes."""

_FROM_TEXT_ON = ("text_features", "splitting", "training", "evaluation")

_OTHERS = (
    "verify_features",
    "import_features",
    "gene_annotations",
    "lora",
    "merge_adapter",
    "cross_validation",
    "zero_shot",
    "ablation",
    "check_split",
    "embed_plates",
    "plate_report",
    "find_similar",
    "score_profiles",
    "demo_gallery",
)


def register_pipelines() -> dict[str, Pipeline]:
    """The pipelines that Kedro asks for, or all of them.

    Plain ``kedro run`` goes from images to the report; ``profiles`` does so without images.
    """
    requested: Sequence[str] | None = getattr(pipelines, "_requested_pipelines", None)
    composed: dict[str, tuple[str, ...]] = {name: (name,) for name in (*STAGES, *_OTHERS)}
    composed |= {
        "profiles": ("profiles", *_FROM_TEXT_ON),
        "plate_report": ("ingestion", "image_features", "plate_report"),
        "__default__": STAGES,
    }
    names = [name for name in requested or () if name in composed] or list(composed)
    return {
        name: sum((_in_namespace(part) for part in composed[name]), Pipeline([])) for name in names
    }


def _in_namespace(name: str) -> Pipeline:
    """A pipeline whose nodes are named ``<pipeline>.<node>``; datasets keep their names."""
    module = import_module(f"morphoclip.pipelines.{name}")
    return Pipeline(module.create_pipeline(), namespace=name, prefix_datasets_with_namespace=False)
