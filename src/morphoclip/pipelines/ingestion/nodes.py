"""Ingestion node: file names in, complete and incomplete sites out."""

import logging

import pandas as pd

from morphoclip.features.config import ImageFeaturesConfig
from morphoclip.gallery.source import (
    IngestionConfig,
    PlateFolders,
    choose_plates,
    folders_by_barcode,
)
from morphoclip.imaging.sites import SiteTables, index_plates
from morphoclip.perturbations.well_index import platemap_of
from morphoclip.progress import watched

logger = logging.getLogger(__name__)


def index_sites(
    plate_images: PlateFolders,
    barcode_platemap: pd.DataFrame,
    ingestion: IngestionConfig,
    image_features: ImageFeaturesConfig,
) -> SiteTables:
    """Complete sites, one row per image; and the sites that are not complete."""
    folder_of = folders_by_barcode(plate_images)
    plates = choose_plates(sorted(folder_of), list(platemap_of(barcode_platemap)), ingestion.plates)
    folders = (folder_of[plate] for plate in watched(plates, "listing plates"))
    site_index, incomplete = index_plates(folders, image_features.channels)
    logger.info(
        "%d plates: %d complete sites, %d incomplete ones set aside",
        len(plates),
        len(site_index) // len(image_features.channels),
        len(incomplete),
    )
    return SiteTables(site_index, incomplete)
