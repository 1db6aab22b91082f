"""Node that puts plates of any experiment into the space of a packed model."""

import logging

import pandas as pd

from morphoclip.bundle.demands import EmbedPlatesConfig, chosen_bundle
from morphoclip.columns import PLATE
from morphoclip.evaluation.config import EvaluationConfig
from morphoclip.evaluation.embedded_plates import profiles_of_plates
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.loaders import Loaders, OnDemand

logger = logging.getLogger(__name__)


def embed_plates(
    bundle: OnDemand,
    plate_features: Loaders[PlateFeatures],
    well_index: pd.DataFrame,
    well_quality: pd.DataFrame | None,
    config: EmbedPlatesConfig,
    evaluation: EvaluationConfig,
) -> pd.DataFrame:
    """Profiles of all wells: no prompts and no split are needed.

    Raises:
        InputError: There is no bundle, or the features were made differently from its training's.
    """
    found = chosen_bundle(bundle, config)
    profiles = profiles_of_plates(
        found.model,
        plate_features,
        well_index,
        well_quality,
        batch_size=evaluation.batch_size,
        device=evaluation.device,
    )
    logger.info(
        "%d wells of %d plate(s) in the space of model %s",
        len(profiles),
        profiles[PLATE].nunique(),
        found.model.digest,
    )
    return profiles
