"""Embedding node: the wells that ingestion indexed, in the space of a model trained before."""

import logging
from collections.abc import Callable, Mapping

import pandas as pd

from morphoclip.errors import example_of
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.features.text_features import TextFeatures
from morphoclip.metrics.scores import EvaluationConfig
from morphoclip.models.embedding import embed_by, profile_table
from morphoclip.models.morphoclip import MODEL_DIGEST, TrainedModel
from morphoclip.schemas import PLATE
from morphoclip.wells.assemble import assemble_wells

logger = logging.getLogger(__name__)


def embed_plates(  # noqa: PLR0913 - one argument a catalog entry
    model: TrainedModel,
    plate_features: Mapping[str, Callable[[], PlateFeatures]],
    text_features: TextFeatures,
    prompts: pd.DataFrame,
    well_index: pd.DataFrame,
    config: EvaluationConfig,
) -> pd.DataFrame:
    """Profiles of all wells; no split is asked for, and none is said.

    Raises:
        InputError: The features were made differently from those of the training.
    """
    wells = assemble_wells(
        plate_features, well_index, prompts, text_features, model.config.token_normalisation
    )
    embedded = embed_by(model, wells, batch_size=config.batch_size, device=config.device)
    plates = sorted(wells.table[PLATE].unique())
    strange = [plate for plate in plates if plate not in model.plate_offsets]
    if model.plate_offsets and strange:
        logger.warning(
            "the model aligns plates by offsets that were measured in training; %d of %d plates "
            "have none and are embedded as they are: %s",
            len(strange),
            len(plates),
            example_of(strange),
        )
    logger.info("%d wells of %d plate(s) to embedded_plates", len(wells.table), len(plates))
    profiles = profile_table(embedded, wells)
    profiles.attrs[MODEL_DIGEST] = model.digest
    return profiles
