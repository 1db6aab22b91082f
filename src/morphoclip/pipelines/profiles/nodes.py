"""Profile nodes: published profiles in the place of images."""

import logging
from functools import partial

import pandas as pd

from morphoclip.columns import DETAIL, N_SITES, PLATE, REASON, SITE, WELL
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.features.profile_tables import with_places
from morphoclip.features.published_profiles import pack_profiles
from morphoclip.features.site_qc import by_plate
from morphoclip.gallery.metadata import listed_plates
from morphoclip.gallery.source import IngestionConfig, choose_plates
from morphoclip.loaders import Loaders
from morphoclip.schemas.ingestion import SET_ASIDE_SITES

logger = logging.getLogger(__name__)


def read_profiles(
    published_profiles: Loaders[pd.DataFrame],
    own_profiles: pd.DataFrame | None,
    described_wells: pd.DataFrame,
    barcode_platemap: pd.DataFrame | None,
    ingestion: IngestionConfig,
) -> tuple[dict[str, PlateFeatures], pd.DataFrame]:
    """Plate features (C = 1) from profiles made elsewhere, and their wells; a well is one site."""
    load_of = {key.split("/", 1)[0]: load for key, load in published_profiles.items()}
    if own_profiles is not None:
        placed = with_places(own_profiles, "the table of profiles (ingestion.source.profiles)")
        load_of = {str(plate): partial(_itself, rows) for plate, rows in placed.groupby(PLATE)}
    listed, listing = listed_plates(described_wells, barcode_platemap)
    plates = choose_plates(sorted(load_of), listed, ingestion.barcodes, listing)
    packed = pack_profiles({plate: load_of[plate]() for plate in plates})
    return packed, pd.concat([packed[plate].sites for plate in plates], ignore_index=True)


def _itself(rows: pd.DataFrame) -> pd.DataFrame:
    return rows


def set_aside_wells(well_index: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """The wells of each plate that have no published profile."""
    without = well_index.loc[well_index[N_SITES] == 0, [PLATE, WELL]]
    set_aside = without.assign(
        **{SITE: 1, REASON: "no profile", DETAIL: "the published table has no row of this well"}
    )[list(SET_ASIDE_SITES.columns)]
    logger.info("%d of %d wells have no profile and are set aside", len(set_aside), len(well_index))
    return by_plate(set_aside, sorted(well_index[PLATE].unique()))
