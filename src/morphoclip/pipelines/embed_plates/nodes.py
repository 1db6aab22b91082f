"""Embedding node: the wells that ingestion indexed, in the space of a model trained before."""

import logging

import pandas as pd

from morphoclip.columns import PLATE
from morphoclip.errors import example_of
from morphoclip.evaluation.config import EvaluationConfig
from morphoclip.evaluation.profiles import embed_with, well_profiles
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.features.text_features import TextFeatures
from morphoclip.loaders import Loaders
from morphoclip.models.trained import TrainedModel
from morphoclip.wells.assemble import assemble_wells

logger = logging.getLogger(__name__)


def embed_plates(
    model: TrainedModel,
    plate_features: Loaders[PlateFeatures],
    text_features: TextFeatures,
    prompts: pd.DataFrame,
    well_index: pd.DataFrame,
    well_quality: pd.DataFrame | None,
    config: EvaluationConfig,
) -> pd.DataFrame:
    """Profiles of all wells, without subsets: no split is needed.

    Raises:
        InputError: The features were made differently from those of the training.
    """
    wells = assemble_wells(
        plate_features, well_index, prompts, text_features, model.config.token_normalisation
    )
    embedded = embed_with(model, wells, batch_size=config.batch_size, device=config.device)
    plates = sorted(wells.table[PLATE].unique())
    without_offset = [plate for plate in plates if plate not in model.aligned_plates]
    if model.aligned_plates and without_offset:
        logger.warning(
            "the model aligns plates by offsets that were measured in training; %d of %d plates "
            "have none and are embedded without alignment: %s",
            len(without_offset),
            len(plates),
            example_of(without_offset),
        )
    logger.info("%d wells of %d plate(s) to embedded_plates", len(wells.table), len(plates))
    return well_profiles(embedded, wells, model.digest, well_quality)
