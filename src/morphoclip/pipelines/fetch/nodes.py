"""Fetch node: what an environment needs of its source, listed, measured, and brought here."""

import logging
import time

import pandas as pd

from morphoclip.errors import InputError
from morphoclip.features.config import ImageFeaturesConfig
from morphoclip.files import shown_path
from morphoclip.gallery.fetch_plan import measured_rate, plan_table, require_room, say_plan
from morphoclip.gallery.fetching import (
    FetchConfig,
    Part,
    Tables,
    fetch_missing,
    list_images,
    list_tables,
)
from morphoclip.gallery.image_files import ImageFiles
from morphoclip.gallery.source import IngestionConfig

logger = logging.getLogger(__name__)


def fetch_source(
    gallery_tables: Tables,
    plate_images: ImageFiles,
    ingestion: IngestionConfig,
    image_features: ImageFeaturesConfig,
    config: FetchConfig,
) -> pd.DataFrame:
    """Copy the gallery's tables, and its images or profiles; one row per part that lies here.

    Raises:
        InputError: The source is on this machine already, does not fit, or fails.
    """
    if gallery_tables.folder is None and plate_images.remote is None:
        raise InputError(
            "the source lies on this machine, and nothing is to be fetched: ingestion.source.root "
            "names no bucket"
        )
    tables: list[Part] = []
    images: list[Part] = []
    is_described = bool(ingestion.source.wells or ingestion.source.jump)
    if not is_described:
        tables += list_tables(gallery_tables, ["metadata"])
    if config.what == "profiles":
        tables += list_tables(gallery_tables, ["profiles"])
    else:
        if image_features.preprocess.illumination == "npy":
            tables += list_tables(gallery_tables, ["illumination"])
        images = list_images(plate_images, ingestion, image_features.channels)
    parts = [*tables, *images]
    if not parts:
        raise InputError(
            "nothing of this environment's source lies in a bucket: its images are on this "
            "machine, and one table names its wells"
        )
    plan, folder = plan_table(parts), parts[0].copy.place
    rate = measured_rate(reversed(parts), config) if config.dry_run else None
    say_plan(plan, folder, rate)
    if config.stream and config.what == "images":
        logger.info(
            "fetch.stream: images come while they are encoded: kedro run --pipelines "
            "ingestion,image_features --params fetch.stream:true"
        )
        parts = tables
        plan = plan_table(parts)
    require_room(plan, folder)
    if config.dry_run:
        logger.info("fetch.dry_run: nothing was fetched")
        return plan
    begun = time.monotonic()
    fetch_missing(parts, config)
    n_files, seconds = int((plan["files"] - plan["files_here"]).sum()), time.monotonic() - begun
    logger.info("%d files fetched in %.0f s; all are in %s", n_files, seconds, shown_path(folder))
    return plan_table(parts)
