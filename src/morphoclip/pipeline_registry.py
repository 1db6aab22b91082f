"""The table of contents: every pipeline by name.

A pipeline's modules are imported when it is asked for: `kedro run --pipeline find_similar` does not
wait for what only image features need.
"""

from collections.abc import Mapping, Sequence
from importlib import import_module
from typing import Any, NamedTuple

from kedro.framework.project import pipelines
from kedro.pipeline import Pipeline

STAGES = ("ingestion", "image_features", "text_features", "splitting", "training", "evaluation")
"""The stages of the main job, one box each in kedro viz: the namespaces of their nodes."""

_FROM_TEXT_ON = ("text_features", "splitting", "training", "evaluation")

_OTHERS = (
    "fetch",
    "verify_features",
    "import_features",
    "gene_annotations",
    "lora",
    "merge_adapter",
    "cross_validation",
    "zero_shot",
    "ablation",
    "check_split",
    "pack_model",
    "plate_report",
    "find_similar",
    "score_profiles",
    "demo_gallery",
)


_AS_DEMANDED = {"settings": "demanded_image_features", "adapters": "demanded_adapters"}
"""Image features as a packed model wants them, in place of ``params:image_features``."""


class Part(NamedTuple):
    """A pipeline of the package ``pipelines``, and what it is created with."""

    name: str
    settings: Mapping[str, Any] = {}


def register_pipelines() -> dict[str, Pipeline]:
    """The pipelines that Kedro asks for, or all of them.

    Plain ``kedro run`` goes from images to the report; ``profiles`` does so without images.
    """
    requested: Sequence[str] | None = getattr(pipelines, "_requested_pipelines", None)
    parts: dict[str, tuple[Part, ...]] = {name: (Part(name),) for name in (*STAGES, *_OTHERS)}
    from_text_on = tuple(Part(name) for name in _FROM_TEXT_ON)
    parts |= {
        "profiles": (Part("profiles"), *from_text_on),
        "plate_report": (Part("ingestion"), Part("image_features"), Part("plate_report")),
        "embed_plates": (
            Part("demand_features"),
            Part("ingestion"),
            Part("image_features", _AS_DEMANDED),
            Part("embed_plates"),
            Part("plate_report"),
        ),
        "embed_profiles": (Part("profiles"), Part("embed_plates")),
        "__default__": tuple(Part(name) for name in STAGES),
    }
    names = [name for name in requested or () if name in parts] or list(parts)
    return {
        name: sum((_in_namespace(part) for part in parts[name]), Pipeline([])) for name in names
    }


def _in_namespace(part: Part) -> Pipeline:
    """A pipeline whose nodes are named ``<pipeline>.<node>``; datasets keep their names."""
    module = import_module(f"morphoclip.pipelines.{part.name}")
    return Pipeline(
        module.create_pipeline(**part.settings),
        namespace=part.name,
        prefix_datasets_with_namespace=False,
    )
