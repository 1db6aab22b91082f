"""Ingestion nodes: images in, complete and incomplete sites out; a look at what comes later."""

import logging

import pandas as pd

from morphoclip.columns import PLATE
from morphoclip.errors import InputError, example_of
from morphoclip.features.config import ImageFeaturesConfig, TextFeaturesConfig
from morphoclip.gallery.image_files import ImageFiles
from morphoclip.gallery.load_data import ListedImages, TablePerPlate
from morphoclip.gallery.metadata import listed_plates
from morphoclip.gallery.named_images import NamedImages
from morphoclip.gallery.ome_zarr_plates import ZarrPlates, holds_zarr
from morphoclip.gallery.source import IngestionConfig, choose_plates, selected_images
from morphoclip.imaging.file_names import NamePattern, is_tiff
from morphoclip.imaging.sites import SiteTables, index_plates
from morphoclip.perturbations.prompts import prompt_table
from morphoclip.perturbations.wording import PromptTemplates
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
    known, listing = listed_plates(described_wells, barcode_platemap)
    selects = ingestion.plates is not None and ingestion.barcodes is None
    wanted = tuple(known) if selects else ingestion.plates
    images: NamedImages | ListedImages | TablePerPlate | ZarrPlates
    if plate_images.read_table is not None:
        if described_wells.empty:
            raise InputError(
                "ingestion.source.images names a LoadData table per plate, and no table says which "
                "plates there are: name ingestion.source.wells or ingestion.source.jump"
            )
        described = described_wells.drop_duplicates(PLATE)
        chosen = described[described[PLATE].isin(wanted or known)]
        images = TablePerPlate(plate_images.url, plate_images.read_table, chosen)
    elif plate_images.table is not None:
        images = ListedImages(plate_images.table)
    elif holds_zarr(plate_images):
        images = ZarrPlates(plate_images, channels, wanted, image_features.preprocess.pixel_size)
    else:
        pattern = NamePattern(ingestion.image_names)
        images = NamedImages(plate_images, pattern, channels, wanted)
    plates = choose_plates(images.plates, known, wanted, listing)
    listed = (
        (plate, selected_images(plate, images.of(plate), ingestion))
        for plate in watched(plates, "listing plates")
    )
    site_index, incomplete = index_plates(listed, channels)
    logger.info(
        "%d plates: %d complete sites, %d incomplete ones set aside",
        len(plates),
        len(site_index) // len(channels),
        len(incomplete),
    )
    if not_read := [path for path in images.others if is_tiff(path)]:
        logger.warning(
            "%d TIFFs are not named as ingestion.image_names (%s) says, and are not read, e.g. %s",
            len(not_read),
            ingestion.image_names,
            example_of(path.rsplit("/", 1)[-1] for path in not_read),
        )
    if beside := [path for path in images.others if path.endswith("/")]:
        logger.warning(
            "%d folder(s) beside the plates are not read: %s", len(beside), example_of(beside)
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
