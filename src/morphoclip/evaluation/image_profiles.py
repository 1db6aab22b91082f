"""Profiles without a trained model: each well's mean image features, normalised per plate."""

import logging
from typing import NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field

from morphoclip.columns import N_SITES, NORMALISED_BY, PLATE
from morphoclip.config import Config
from morphoclip.errors import example_of
from morphoclip.evaluation.profiles import dimension_names, with_quality
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.loaders import Loaders
from morphoclip.perturbations.well_index import with_site_counts
from morphoclip.plate_correction import (
    FEWEST_SITES,
    FEWEST_WELLS_OF_A_PLANE,
    TokenNormalisation,
    reference_wells,
)
from morphoclip.wells.featured import wells_with_features

logger = logging.getLogger(__name__)


class PlateReportConfig(Config):
    """``params:plate_report``."""

    normalise: TokenNormalisation = Field(
        TokenNormalisation.NEGCON_ZSCORE,
        description="As model.token_normalisation; all wells where a plate has no controls.",
    )


class ImageProfiles(NamedTuple):
    """Profiles of wells, and what made the features that they are means of."""

    profiles: pd.DataFrame
    model: str


def image_profiles(
    plate_features: Loaders[PlateFeatures],
    well_index: pd.DataFrame,
    well_quality: pd.DataFrame | None,
    config: PlateReportConfig,
) -> ImageProfiles:
    """``Metadata_*`` of the wells that have features, then the mean over sites of these.

    Where a plate has fewer than two sites of negative controls to normalise by, all plates are
    normalised by all of their wells: half of them by controls could not be compared with the rest.
    ``Metadata_normalised_by`` says which.
    """
    normalise = normalisation_of_all_plates(config.normalise, plate_features, well_index)
    featured = wells_with_features(plate_features, well_index, normalise)
    means = featured.mean_features().to_numpy(dtype=np.float32)
    metadata = with_quality(featured.table, well_quality).assign(**{NORMALISED_BY: str(normalise)})
    embedding = pd.DataFrame(means, columns=dimension_names(means.shape[1]))
    return ImageProfiles(
        pd.concat([metadata, embedding], axis=1), featured.fingerprint.get("model", "unknown")
    )


def normalisation_of_all_plates(
    wanted: TokenNormalisation,
    plate_features: Loaders[PlateFeatures],
    well_index: pd.DataFrame,
) -> TokenNormalisation:
    """What is wanted, or `plate_zscore` where a plate lacks the controls for it; with a warning."""
    lacking = plates_without_controls(_featured(well_index, plate_features), wanted)
    if not lacking:
        return wanted
    chosen = wanted
    if wanted not in (TokenNormalisation.NONE, TokenNormalisation.PLATE_ZSCORE):
        chosen = TokenNormalisation.PLATE_ZSCORE
    logger.warning(
        "%d plate(s) have too few negative controls to be normalised by: %s. All plates are "
        "normalised by %s; wells of these have no similarity to controls, no z, and no "
        "replicability against controls",
        len(lacking),
        example_of(lacking),
        chosen,
    )
    return chosen


def plates_without_controls(
    wells: pd.DataFrame, wanted: TokenNormalisation = TokenNormalisation.NEGCON_ZSCORE
) -> list[str]:
    """Plates with too few sites, or for a plane too few wells, of controls to normalise by.

    Args:
        wells: Those that have features, with the number of sites that do.
        wanted: How plates are to be normalised.
    """
    of_controls = wells[N_SITES].where(reference_wells(wells), 0)
    sites = of_controls.groupby(wells[PLATE]).sum()
    lacking = sites < FEWEST_SITES
    if wanted is TokenNormalisation.NEGCON_PLANE_ZSCORE:
        n_wells = (of_controls > 0).groupby(wells[PLATE]).sum()
        lacking |= n_wells < FEWEST_WELLS_OF_A_PLANE
    return sorted(sites.index[lacking])


def _featured(well_index: pd.DataFrame, plate_features: Loaders[PlateFeatures]) -> pd.DataFrame:
    """The wells that have features, with the number of sites that do."""
    plates = [plate for plate in well_index[PLATE].unique() if plate in plate_features]
    if not plates:
        return well_index.head(0)  # reading the features says what is missing
    sites = pd.concat([plate_features[plate]().sites for plate in plates])
    counted = with_site_counts(well_index, sites)
    return counted[counted[N_SITES] > 0]
