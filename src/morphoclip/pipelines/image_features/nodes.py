"""Image nodes: site features as they are computed, plate features when a plate is complete."""

import logging
from collections.abc import Iterator
from typing import Any, assert_never

import pandas as pd
import torch

from morphoclip.backbone_identity import parameters_digest
from morphoclip.backbones.adapter import Adapter, named_adapter, put_on
from morphoclip.backbones.image import load_image_backbone
from morphoclip.columns import (
    CHANNEL,
    PLATE,
    SITE,
    WELL,
)
from morphoclip.device import resolve_device
from morphoclip.features.config import ImageFeaturesConfig
from morphoclip.features.extract import (
    extract_features,
    fingerprint_of,
    named_settings,
    require_memory,
)
from morphoclip.features.made_of import images_of_plates, known_images
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.features.site_files import (
    pack_plate,
    plate_record,
    refuse_mixing,
    site_key,
    sites_of_plates,
    were_made_by,
    without_features,
)
from morphoclip.features.site_qc import QcTables, by_plate, qc_parts, qc_rows, summarise_qc
from morphoclip.gallery.image_files import ImageFiles
from morphoclip.gallery.source import IngestionConfig
from morphoclip.imaging.grey_levels import GreyRange, range_of, sample_sites
from morphoclip.imaging.preprocess import measure_plate, prepare_sites
from morphoclip.imaging.site_images import (
    illumination_of_plates,
    images_of_sites,
    listed_illumination,
    require_channels,
)
from morphoclip.loaders import Loaders
from morphoclip.progress import watched
from morphoclip.schemas.features import PLATE_INTENSITIES

logger = logging.getLogger(__name__)

Chunk = dict[str, dict[str, Any]]


def measure_grey_levels(
    site_index: pd.DataFrame,
    plate_images: ImageFiles,
    illumination_functions: Loaders[Any],
    existing_records: Loaders[Any],
    ingestion: IngestionConfig,
    config: ImageFeaturesConfig,
) -> dict[str, pd.DataFrame]:
    """Grey levels of each plate's channels over a sample of its sites.

    A plate that has features keeps the levels they were made with: measured again over sites that
    came later, its sites would not be normalised alike.
    """
    indexed = sites_of_plates(site_index, ingestion.barcodes)
    require_channels(indexed, config.channels)
    config.preprocess.nuclear_channel(config.channels)  # a name of no channel is told here
    measured = [plate for plate in indexed[PLATE].unique() if plate in existing_records]
    rows = [row for plate in measured for row in existing_records[plate]()["plate_intensities"]]
    not_measured = indexed[~indexed[PLATE].isin(measured)]
    sampled = not_measured.merge(sample_sites(not_measured), on=[PLATE, WELL, SITE])
    for plate, sites in watched(sampled.groupby(PLATE), "measuring grey levels", transient=True):
        images = images_of_sites(
            sites,
            plate_images.images(_stored_pixels(config)),
            _illumination(illumination_functions, sites, plate_images, config),
            config.preprocess.side,
        )
        levels = measure_plate(images, config.channels, workers=config.preprocess.n_workers)
        rows += [{PLATE: plate, CHANNEL: channel, **numbers} for channel, numbers in levels.items()]
    table = pd.DataFrame(rows).reindex(columns=list(PLATE_INTENSITIES.columns))
    return by_plate(table, sorted(indexed[PLATE].unique()))


def extract_site_features(  # noqa: PLR0913 - one argument per catalog entry
    site_index: pd.DataFrame,
    plate_images: ImageFiles,
    plate_intensities: pd.DataFrame,
    illumination_functions: Loaders[Any],
    existing_features: Loaders[Any],
    existing_tensors: Loaders[Any],
    existing_records: Loaders[Any],
    adapters: Loaders[Adapter],
    ingestion: IngestionConfig,
    config: ImageFeaturesConfig,
) -> Iterator[Chunk]:
    """Features of the sites that have none yet, a batch at a time, each batch with its QC.

    A first chunk carries the plates' records alone (fingerprint and grey levels), so that there is
    one even when nothing is left to do and so that features never lie on disk without theirs. Where
    nothing is left to do and the records name this backbone, it is not loaded.
    """
    indexed = sites_of_plates(site_index, ingestion.barcodes)
    require_channels(indexed, config.channels)
    plates = sorted(indexed[PLATE].unique())
    adapter = named_adapter(adapters, config.backbone.adapter)
    refuse_mixing(existing_records, plates, named_settings(config, adapter))
    images = images_of_sites(
        indexed,
        plate_images.images(_stored_pixels(config)),
        _illumination(illumination_functions, indexed, plate_images, config),
        config.preprocess.side,
    )
    made_of = images_of_plates(
        indexed, existing_records, existing_features, plate_images.content_of
    )
    renewed = {
        plate: record | {"images": made_of[plate].model_dump()}
        for plate in plates
        if plate in existing_records
        for record in [existing_records[plate]()]
        if known_images(record) != made_of[plate]
    }
    kept = [existing_features, existing_tensors] if config.save_tensors else [existing_features]
    missing = without_features(images, *kept)
    device = resolve_device(config.device)
    logger.info("%d of %d sites to extract on %s", len(missing), len(images), device)
    of_adapter = [adapter.digest] if adapter else []
    digest = parameters_digest(config.backbone, config.backbone.folder, *of_adapter)
    if not missing and were_made_by(digest, existing_records, plates):
        yield {"records": renewed, "site_qc": {}, "thumbnails": {}, "features": {}, "tensors": {}}
        return

    backbone = load_image_backbone(config.backbone, len(config.channels))
    backbone.check_size(config.preprocess.size)
    require_memory(backbone, config, device)
    if adapter is not None:
        put_on(backbone, adapter, name=str(config.backbone.adapter))
    fingerprint = fingerprint_of(backbone, config)
    refuse_mixing(existing_records, plates, fingerprint)
    records = {
        plate: plate_record(
            fingerprint,
            plate_intensities[plate_intensities[PLATE] == plate],
            digest,
            made_of[plate],
        )
        for plate in plates
        if plate not in existing_records
    }
    records |= renewed
    yield {"records": records, "site_qc": {}, "thumbnails": {}, "features": {}, "tensors": {}}

    ranges: dict[str, dict[str, GreyRange]] = {
        plate: {row[CHANNEL]: range_of(row) for row in rows.to_dict("records")}
        for plate, rows in plate_intensities.groupby(PLATE)
    }
    batches = extract_features(
        prepare_sites(missing, ranges, config.preprocess, ahead=2 * config.batch_size),
        backbone,
        batch_size=config.batch_size,
        device=device,
    )
    n_batches = -(-len(missing) // config.batch_size)
    for batch in watched(batches, "extracting features", total=n_batches):
        keys = [site_key(s.images.plate, s.images.well, s.images.site) for s in batch.usable]
        qc = qc_rows(batch.sites)
        yield {
            "records": {},
            "site_qc": qc_parts(qc),
            "thumbnails": {
                key: site.thumbnail
                for key, site in zip(keys, batch.usable, strict=True)
                if site.thumbnail is not None
            },
            "features": dict(zip(keys, batch.features, strict=True)),
            "tensors": {
                key: torch.from_numpy(site.pixels).to(torch.float16)
                for key, site in zip(keys, batch.usable, strict=True)
                if config.save_tensors and site.pixels is not None
            },
        }


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


def _is_packed(plate: str, existing: Loaders[Any], packed: PlateFeatures) -> bool:
    """Whether the packed file is there and current; one that cannot be read is made again."""
    if plate not in existing:
        return False
    try:
        return bool(existing[plate]().equals(packed))
    except Exception as error:
        reason = (error.__cause__ or error) if isinstance(error, Exception) else error
        logger.warning("plate %s is packed again: %s", plate, str(reason).splitlines()[0])
        return False


def pack_plates(
    site_index: pd.DataFrame,
    site_features: Loaders[Any],
    existing_records: Loaders[Any],
    existing_plates: Loaders[Any],
    set_aside_sites: pd.DataFrame,
    ingestion: IngestionConfig,
) -> Iterator[dict[str, PlateFeatures]]:
    """One packed file per plate, of plates whose packed file is missing or out of date.

    Takes ``set_aside_sites`` because a plate is complete when each of its sites has features or
    a reason.
    """
    indexed = sites_of_plates(site_index, ingestion.barcodes)
    plates = sorted(indexed[PLATE].unique())
    n_packed = 0
    yield {}
    for plate in plates:
        packed = pack_plate(plate, indexed, site_features, existing_records[plate]()["fingerprint"])
        if not _is_packed(plate, existing_plates, packed):
            yield {plate: packed}
            n_packed += 1
    logger.info(
        "%d of %d plates packed anew; %d sites set aside in all",
        n_packed,
        len(plates),
        len(set_aside_sites),
    )
