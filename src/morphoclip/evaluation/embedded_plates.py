"""Plates of any experiment in the space of a trained model; no prompts and no split are needed."""

import logging

import pandas as pd

from morphoclip.columns import MODEL, NORMALISED_BY, PLATE
from morphoclip.device import resolve_device
from morphoclip.errors import example_of
from morphoclip.evaluation.image_profiles import normalisation_of_all_plates
from morphoclip.evaluation.profiles import dimension_names, with_quality
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.loaders import Loaders
from morphoclip.models.embedding import embed_wells
from morphoclip.models.trained import TrainedModel
from morphoclip.plate_correction import TokenNormalisation
from morphoclip.wells.featured import wells_with_features

logger = logging.getLogger(__name__)


def profiles_of_plates(
    trained: TrainedModel,
    plate_features: Loaders[PlateFeatures],
    well_index: pd.DataFrame,
    well_quality: pd.DataFrame | None,
    *,
    batch_size: int,
    device: str,
    normalise: TokenNormalisation | None = None,
) -> pd.DataFrame:
    """``Metadata_*`` of the wells that have features, then their embeddings, one row per well.

    Each plate is normalised by its own negative controls, as the model's training was. Where a
    plate has too few of them, all plates are normalised by all of their wells;
    ``Metadata_normalised_by`` says which.

    Args:
        trained: The model.
        plate_features: Barcode -> a function that loads the plate.
        well_index: The wells; those without sites are left out.
        well_quality: What is wrong with wells' images, or None.
        batch_size: Wells embedded at a time.
        device: Where.
        normalise: In place of the model's own `token_normalisation`.

    Raises:
        InputError: The features were made differently from those of the training.
    """
    wanted = normalise or trained.config.token_normalisation
    chosen = normalisation_of_all_plates(wanted, plate_features, well_index)
    featured = wells_with_features(plate_features, well_index, chosen)
    trained.require_image_features(featured.fingerprint)
    embedded = embed_wells(trained, featured, batch_size=batch_size, device=resolve_device(device))
    _warn_of_plates_without_offset(trained, sorted(featured.table[PLATE].unique()))
    metadata = with_quality(featured.table, well_quality).assign(
        **{MODEL: trained.digest, NORMALISED_BY: str(chosen)}
    )
    columns = dimension_names(*embedded.widths)
    return pd.concat([metadata, pd.DataFrame(embedded.image, columns=columns)], axis=1)


def _warn_of_plates_without_offset(trained: TrainedModel, plates: list[str]) -> None:
    without_offset = [plate for plate in plates if plate not in trained.aligned_plates]
    if trained.aligned_plates and without_offset:
        logger.warning(
            "the model aligns plates by offsets that were measured in training; %d of %d plates "
            "have none and are embedded without alignment: %s",
            len(without_offset),
            len(plates),
            example_of(without_offset),
        )
