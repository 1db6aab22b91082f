"""The model card: ``README.md`` of a bundle, as the Hugging Face hub reads it."""

from collections.abc import Mapping
from importlib.resources import files
from typing import Any, NamedTuple

import pandas as pd
from jinja2 import Environment, StrictUndefined

from morphoclip import __version__
from morphoclip.bundle.config import ImageSettings
from morphoclip.columns import MODALITY, N_SITES, PLATE, SUBSET, Subset
from morphoclip.errors import InputError
from morphoclip.evaluation.baseline_comparison import headline_comparison, single_split_sentence
from morphoclip.evaluation.per_perturbation import MODEL_METHOD
from morphoclip.models.trained import TrainedModel

BACKBONE_LICENCES = (
    ("facebook/dinov3", "DINOv3 License", "https://ai.meta.com/resources/models-and-libraries/dinov3-license"),
    ("facebook/dinov2", "Apache 2.0", "https://www.apache.org/licenses/LICENSE-2.0"),
    ("thomas-sounack/BioClinical-ModernBERT", "MIT", "https://opensource.org/license/mit"),
    ("answerdotai/ModernBERT", "Apache 2.0", "https://www.apache.org/licenses/LICENSE-2.0"),
)  # fmt: skip
"""Beginning of a hub id, the licence of the weights, and where it is."""


class Measured(NamedTuple):
    """What was found out about a model, as the catalog has it."""

    well_index: pd.DataFrame
    split_record: Mapping[str, Any]
    split_summary: pd.DataFrame
    leakage_report: pd.DataFrame
    baseline_comparison: pd.DataFrame


def model_card(
    model: TrainedModel,
    images: ImageSettings | None,
    measured: Measured,
    *,
    description: str | None,
    licence: str,
) -> str:
    """The card: front matter, data, split, leakage, numbers beside chance, use, limits, licences.

    Args:
        model: The trained model.
        images: What turns images into tokens; None where they were not made from images.
        measured: Data, split, leaks and retrieval.
        description: What `ingestion.source.description` says about the data.
        licence: Of the packed weights, as the hub names it.

    Raises:
        InputError: Retrieval was not measured on this model.
    """
    if not (measured.baseline_comparison["method"] == MODEL_METHOD).any():
        raise InputError("baseline_comparison has no row of the model: run evaluation again")
    backbones = [
        _backbone(side, fingerprint)
        for side, fingerprint in (
            ("image", model.image_fingerprint),
            ("text", model.text_fingerprint),
        )
    ]
    wells = measured.well_index[measured.well_index[N_SITES] > 0]
    comparison = headline_comparison(measured.baseline_comparison)
    text = files("morphoclip.bundle").joinpath("card.md").read_text(encoding="utf-8")
    environment = Environment(undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True)
    environment.filters["cell"] = _cell
    return environment.from_string(text).render(
        front_matter=_front_matter(backbones, licence),
        version=__version__,
        model=model,
        images=images,
        backbones=backbones,
        description=description,
        plates=wells.groupby(MODALITY)[PLATE].nunique().to_dict(),
        n_wells=len(wells),
        n_sites=int(wells[N_SITES].sum()),
        record=measured.split_record,
        subsets=_sizes(measured.split_summary),
        leaks=measured.leakage_report.query("shared > 0").to_dict("records"),
        rows=comparison.to_dict("records"),
        verdict=single_split_sentence(measured.baseline_comparison),
    )  # fmt: skip


def _sizes(split_summary: pd.DataFrame) -> list[dict[str, Any]]:
    """Wells and entities of each subset and modality."""
    used = split_summary[split_summary[SUBSET] != Subset.EXCLUDED]
    sizes = used.groupby([SUBSET, MODALITY], sort=False)[["wells", "entities"]].sum()
    return sizes.reset_index().to_dict("records")


def _front_matter(backbones: list[dict[str, str]], licence: str) -> str:
    from huggingface_hub import ModelCardData

    data = ModelCardData(
        license=licence,
        library_name="morphoclip",
        pipeline_tag="feature-extraction",
        base_model=[b["name"] for b in backbones if "/" in b["name"]] or None,
        tags=["cell-painting", "microscopy", "image-based-profiling", "contrastive-learning"],
        metrics=["mrr"],
    )
    return str(data.to_yaml())


def _backbone(side: str, fingerprint: Mapping[str, str]) -> dict[str, str]:
    name = fingerprint["model"]
    known = [found for prefix, *found in BACKBONE_LICENCES if name.startswith(prefix)]
    licence, where = known[0] if known else ("", "")
    settings = {key: value for key, value in fingerprint.items() if key != "model"}
    return {
        "side": side,
        "name": name,
        "licence": licence,
        "where": where,
        "settings": ", ".join(f"{key} {value}" for key, value in settings.items()),
    }


def _cell(value: object) -> str:
    """Text within a Markdown table."""
    text = "" if value is None else str(value)
    for mark in "\\|`*_<>[]":
        text = text.replace(mark, "\\" + mark)
    return " ".join(text.split())
