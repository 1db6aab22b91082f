"""Image nodes: plate after plate to features and a packed file, then what was seen on the way."""

import logging
import uuid
from collections.abc import Iterator
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any, assert_never

import pandas as pd

from morphoclip.backbone_identity import parameters_digest
from morphoclip.backbones.adapter import Adapter, named_adapter
from morphoclip.columns import PLATE, SITE, WELL
from morphoclip.device import resolve_device
from morphoclip.errors import InputError, example_of
from morphoclip.features.config import ImageFeaturesConfig
from morphoclip.features.dask_cluster import threads_of_each
from morphoclip.features.dask_extraction import DaskExtraction
from morphoclip.features.dask_workers import Recipe
from morphoclip.features.encoding import Chunk, Encoder, key_of
from morphoclip.features.extract import named_settings
from morphoclip.features.made_of import images_of_plates
from morphoclip.features.plate_extraction import Existing, extracted, new_record, paths_of, planned
from morphoclip.features.plate_work import Extraction, LocalExtraction, PlateFailed
from morphoclip.features.site_files import refuse_mixing, sites_of_plates, were_made_by
from morphoclip.features.site_qc import QcTables, summarise_qc
from morphoclip.features.verify import check_plates, require_complete
from morphoclip.gallery.fetching import FetchConfig
from morphoclip.gallery.image_files import ImageFiles
from morphoclip.gallery.read_ahead import Discard, list_now, read_ahead
from morphoclip.gallery.source import IngestionConfig
from morphoclip.imaging.preprocess import SiteImages
from morphoclip.imaging.site_images import (
    illumination_of_plates,
    images_of_sites,
    listed_illumination,
    require_channels,
)
from morphoclip.loaders import Loaders, listed_again

logger = logging.getLogger(__name__)


def extract_plates(  # noqa: PLR0913 - one argument per catalog entry
    site_index: pd.DataFrame,
    plate_images: ImageFiles,
    illumination_functions: Loaders[Any],
    existing_features: Loaders[Any],
    existing_tensors: Loaders[Any],
    existing_records: Loaders[Any],
    existing_plates: Loaders[Any],
    adapters: Loaders[Adapter],
    ingestion: IngestionConfig,
    config: ImageFeaturesConfig,
    fetch: FetchConfig,
) -> Iterator[Chunk]:
    """Plate after plate: its grey levels, the features of its sites, and all of them packed.

    Of each plate a first chunk carries grey levels and record (fingerprint, images), so that
    features never lie on disk without theirs; then come features, a batch at a time, each with its
    QC; the last carries the packed plate. Sites that have features keep them. Where nothing is left
    to do and the records name this backbone, it is not loaded. With ``fetch.stream`` a plate's
    images are deleted once its features are verified.
    """
    indexed = sites_of_plates(site_index, ingestion.barcodes)
    require_channels(indexed, config.channels)
    config.preprocess.nuclear_channel(config.channels)  # a name of no channel is told here
    adapter = named_adapter(adapters, config.backbone.adapter)
    rows_of = {str(plate): rows for plate, rows in indexed.groupby(PLATE)}
    refuse_mixing(existing_records, rows_of, named_settings(config, adapter))
    existing = Existing(existing_features, existing_tensors, existing_records, existing_plates)
    open_image = plate_images.images(_stored_pixels(config))
    plates = {}
    for plate, rows in rows_of.items():
        functions = _illumination(illumination_functions, rows, plate_images, config)
        sites = images_of_sites(rows, open_image, functions, config.preprocess.side)
        plates[plate] = planned(rows, sites, existing, save_tensors=config.save_tensors)
    works = {plate: own.work for plate, own in plates.items()}
    n_missing = sum(len(work.missing) for work in works.values())
    digest = parameters_digest(
        config.backbone, config.backbone.folder, *([adapter.digest] if adapter else [])
    )
    is_needed = bool(n_missing) or not were_made_by(digest, existing_records, plates)
    n_sites = sum(len(own.images) for own in plates.values())
    where = "Dask workers" if config.executor == "dask" else resolve_device(config.device)
    logger.info("%d of %d sites to extract on %s", n_missing, n_sites, where)
    read_twice = {path for work in works.values() for path in paths_of(work.sampled)}
    needed = {path for work in works.values() for path in paths_of(work.missing)} | read_twice
    order = {plate: own.paths for plate, own in plates.items()}
    failed: dict[str, str] = {}
    with (
        _extraction(config, adapter, plate_images, fetch, is_needed=is_needed) as extraction,
        _ahead(plate_images, order, needed, read_twice, fetch, config) as discard,
    ):
        made_of = images_of_plates(
            indexed, existing_records, existing_features, plate_images.content_of
        )
        if is_needed:
            refuse_mixing(existing_records, plates, extraction.fingerprint)
        with extraction.running(works):
            for number, (plate, own) in enumerate(plates.items(), start=1):
                n_batches = -(-len(own.work.missing) // config.batch_size)
                what = f"extracting features of {plate}, plate {number} of {len(plates)}"
                record_of = partial(
                    new_record, plate, existing_records, extraction, digest, made_of[plate]
                )
                chunks = extracted(
                    own, extraction, existing, record_of, watched_as=(what, n_batches)
                )
                without: set[str] = set()
                try:
                    for chunk, not_encoded in chunks:
                        without.update(not_encoded)
                        yield chunk
                except PlateFailed as error:
                    failed[plate] = str(error)
                    logger.error("plate %s is set aside: %s", plate, error)
                    continue
                done = [site for site in own.images if key_of(site) not in without]
                if fetch.stream and plate_images.remote is not None:
                    left_out = [site for site in own.images if key_of(site) in without]
                    _require_verified(own.rows, left_out, existing, config, adapter)
                    n_deleted = discard(paths_of(done))
                    logger.info(
                        "the features of %s are verified; %d images deleted", plate, n_deleted
                    )
                else:
                    discard(paths_of(own.work.sampled))
    if failed:
        plate, reason = next(iter(failed.items()))
        raise InputError(
            f"{len(failed)} of {len(plates)} plate(s) could not be extracted, e.g. {plate}: "
            f"{reason}. The others are whole; mend this and run the same command again"
        )


def _extraction(
    config: ImageFeaturesConfig,
    adapter: Adapter | None,
    files: ImageFiles,
    fetch: FetchConfig,
    *,
    is_needed: bool,
) -> AbstractContextManager[Extraction]:
    """Who encodes; no cluster is started where nothing is left to do."""
    if config.executor == "dask" and fetch.stream:
        raise InputError(
            "fetch.stream passes images through this machine's disk, and the workers of "
            "image_features.executor dask read them where they are: choose one of both"
        )
    if config.executor == "local" or not is_needed:
        encoder = Encoder(config, adapter, resolve_device(config.device))
        return nullcontext(LocalExtraction(encoder, measure_first=files.remote is None))
    threads = threads_of_each(config.dask)
    name = uuid.uuid4().hex
    recipe = Recipe(name, config, files, _stored_pixels(config), adapter, threads)
    return DaskExtraction(recipe, config.dask).connected()


def _ahead(
    files: ImageFiles,
    order: dict[str, list[str]],
    needed: set[str],
    read_twice: set[str],
    fetch: FetchConfig,
    config: ImageFeaturesConfig,
) -> AbstractContextManager[Discard]:
    if config.executor == "dask":
        list_now(files, needed)
        return nullcontext(lambda _paths: 0)
    return read_ahead(files, order, needed, read_twice, fetch, config.name)


def _require_verified(
    rows: pd.DataFrame,
    left_out: list[SiteImages],
    existing: Existing,
    config: ImageFeaturesConfig,
    adapter: Adapter | None,
) -> None:
    """Read what was saved of a plate again.

    Raises:
        InputError: Something is missing or damaged.
    """
    check = check_plates(
        rows,
        _set_aside(left_out),
        listed_again(existing.features),
        listed_again(existing.records),
        listed_again(existing.plates),
        config,
        adapter,
    )
    require_complete(check)


def _set_aside(sites: list[SiteImages]) -> pd.DataFrame:
    rows = [(site.plate, site.well, site.site) for site in sites]
    return pd.DataFrame(rows, columns=[PLATE, WELL, SITE])


def _stored_pixels(config: ImageFeaturesConfig) -> int | None:
    """Pixels per side to read where an image is stored at several resolutions.

    Illumination functions and the pixel size are of the largest.
    """
    of_largest = config.preprocess.illumination != "none" or config.preprocess.resample
    return None if of_largest else config.preprocess.size


def _illumination(
    functions: Loaders[Any],
    sites: pd.DataFrame,
    plate_images: ImageFiles,
    config: ImageFeaturesConfig,
) -> Any:
    """Functions by plate and channel: those that the source names, or else the gallery's."""
    match config.preprocess.illumination:
        case "none":
            return {}
        case "npy":
            plates = sorted(sites[PLATE].unique())
            listed = listed_illumination(sites, plate_images.read)
            return illumination_of_plates(listed or functions, plates, config.channels)
        case _:
            assert_never(config.preprocess.illumination)


def collect_qc(
    site_index: pd.DataFrame,
    incomplete_sites: pd.DataFrame,
    site_qc_parts: Loaders[Any],
    site_features: Loaders[Any],
    well_index: pd.DataFrame,
    ingestion: IngestionConfig,
) -> QcTables:
    """Grey levels of all images, every site that goes no further, and how each well looks."""
    indexed = sites_of_plates(site_index, ingestion.barcodes)
    incomplete = incomplete_sites[
        incomplete_sites[PLATE].isin(ingestion.barcodes or set(incomplete_sites[PLATE]))
    ]
    return summarise_qc(site_qc_parts, indexed, site_features, incomplete, well_index)


def check_packed(
    site_index: pd.DataFrame,
    plate_features: Loaders[Any],
    set_aside_sites: pd.DataFrame,
    ingestion: IngestionConfig,
) -> None:
    """Every plate is packed; a plate none of whose sites could be used ends the run.

    Takes ``set_aside_sites``, which says why.

    Raises:
        InputError: Naming the plates.
    """
    plates = sorted(sites_of_plates(site_index, ingestion.barcodes)[PLATE].unique())
    absent = [plate for plate in plates if plate not in plate_features]
    if absent:
        raise InputError(
            f"no site of {len(absent)} of {len(plates)} plates could be used: "
            f"{example_of(absent)}; set_aside_sites says why: check their images"
        )
    logger.info("%d plates packed; %d sites set aside in all", len(plates), len(set_aside_sites))
