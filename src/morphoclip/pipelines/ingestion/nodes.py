"""Ingestion nodes: images in, complete and incomplete sites out; a look at what comes later."""

import logging

import pandas as pd

from morphoclip.errors import example_of
from morphoclip.features.config import ImageFeaturesConfig, TextFeaturesConfig
from morphoclip.gallery.image_files import ImageFiles, NamedImages
from morphoclip.gallery.load_data import ListedImages
from morphoclip.gallery.metadata import listed_plates
from morphoclip.gallery.ome_zarr_plates import ZarrPlates, holds_zarr
from morphoclip.gallery.source import IngestionConfig, choose_plates
from morphoclip.imaging.file_names import NamePattern
from morphoclip.imaging.sites import SiteTables, index_plates
from morphoclip.perturbations.prompts import PromptTemplates, prompt_table
from morphoclip.progress import watched

logger = logging.getLogger(__name__)


def index_sites(
    plate_images: ImageFiles,
    described_wells: pd.DataFrame,
    barcode_platemap: pd.DataFrame | None,
    ingestion: IngestionConfig,
    image_features: ImageFeaturesConfig,
) -> SiteTables:
    """Complete sites, one row per image; and the sites that are not complete."""
    channels = image_features.channels
    images: NamedImages | ListedImages | ZarrPlates
    if plate_images.table is not None:
        images = ListedImages(plate_images.table)
    elif holds_zarr(plate_images):
        images = ZarrPlates(plate_images, channels, ingestion.plates)
    else:
        pattern = NamePattern(ingestion.image_names)
        images = NamedImages(plate_images, pattern, channels, ingestion.plates)
    known, listing = listed_plates(described_wells, barcode_platemap)
    plates = choose_plates(images.plates, known, ingestion.plates, listing)
    listed = ((plate, images.of(plate)) for plate in watched(plates, "listing plates"))
    site_index, incomplete = index_plates(listed, channels)
    logger.info(
        "%d plates: %d complete sites, %d incomplete ones set aside",
        len(plates),
        len(site_index) // len(channels),
        len(incomplete),
    )
    if not_read := [path for path in images.others if path.lower().endswith((".tif", ".tiff"))]:
        logger.warning(
            "%d TIFFs are not named as ingestion.image_names (%s) says, and are not read, e.g. %s",
            len(not_read),
            ingestion.image_names,
            example_of(path.rsplit("/", 1)[-1] for path in not_read),
        )
    return SiteTables(site_index, incomplete)


def check_prompts(
    perturbations: pd.DataFrame,
    well_index: pd.DataFrame,
    text_features: TextFeaturesConfig,
    templates: PromptTemplates,
) -> None:
    """Word every prompt and keep none: what stops that should be known before images are read."""
    prompt_table(perturbations, well_index, text_features.level, templates, text_features.context)
