"""Nodes that pack a trained model with what is known of it."""

import logging
from collections.abc import Mapping
from typing import Any

import pandas as pd
from pydantic import Field

from morphoclip.backbones.adapter import Adapter, named_adapter
from morphoclip.bundle.card import Measured, model_card
from morphoclip.bundle.folder import PackedModel
from morphoclip.bundle.pack import (
    image_settings,
    packed_prompts,
    packed_treatments,
    require_split_of,
    text_settings,
)
from morphoclip.config import Config
from morphoclip.features.config import ImageFeaturesConfig, TextFeaturesConfig
from morphoclip.gallery.source import IngestionConfig
from morphoclip.loaders import Loaders
from morphoclip.models.trained import TrainedModel
from morphoclip.search.index import require_profiles_of

logger = logging.getLogger(__name__)


class PackModelConfig(Config):
    """``params:pack_model``."""

    profiles: bool = Field(True, description="Pack the profiles of all wells, for searches.")
    licence: str = Field("other", min_length=1, description="Of the weights, as the hub names it.")


def write_card(  # noqa: PLR0913 - one argument per catalog entry
    model: TrainedModel,
    well_index: pd.DataFrame,
    split_record: Mapping[str, Any],
    split_summary: pd.DataFrame,
    leakage_report: pd.DataFrame,
    baseline_comparison: pd.DataFrame,
    adapters: Loaders[Adapter],
    images: ImageFeaturesConfig,
    ingestion: IngestionConfig,
    config: PackModelConfig,
) -> str:
    """The model card.

    Raises:
        InputError: The split is not the model's, or the parameters are not those of the training.
    """
    require_split_of(model, split_record)
    adapter = named_adapter(adapters, images.backbone.adapter)
    return model_card(
        model,
        image_settings(images, model.image_fingerprint, adapter),
        Measured(well_index, split_record, split_summary, leakage_report, baseline_comparison),
        description=ingestion.source.description,
        licence=config.licence,
    )


def pack_model(  # noqa: PLR0913 - one argument per catalog entry
    model: TrainedModel,
    card: str,
    prompts: pd.DataFrame,
    prompt_embeddings: pd.DataFrame,
    well_profiles: pd.DataFrame,
    perturbations: pd.DataFrame,
    adapters: Loaders[Adapter],
    images: ImageFeaturesConfig,
    text: TextFeaturesConfig,
    config: PackModelConfig,
) -> PackedModel:
    """Weights, settings, prompts, treatments, profiles and the card.

    Raises:
        InputError: The profiles are of another model, or the parameters not those of the training.
    """
    require_profiles_of(model.record, well_profiles)
    adapter = named_adapter(adapters, images.backbone.adapter)
    packed = PackedModel(
        model=model,
        images=image_settings(images, model.image_fingerprint, adapter),
        text=text_settings(text.backbone, model.text_fingerprint),
        prompts=packed_prompts(prompts, prompt_embeddings, well_profiles),
        treatments=packed_treatments(perturbations, well_profiles),
        profiles=well_profiles if config.profiles else None,
        adapter=adapter,
        card=card,
    )
    logger.info(
        "model %s packed with %d prompts, %d treatments and %s",
        model.digest,
        len(packed.prompts),
        len(packed.treatments),
        f"the profiles of {len(well_profiles)} wells" if config.profiles else "no profiles",
    )
    return packed
