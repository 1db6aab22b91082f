"""Image nodes: plate after plate to features and a packed file, then what was seen on the way."""

import logging
from collections.abc import Iterable, Iterator
from functools import partial
from typing import Any, assert_never

import pandas as pd

from morphoclip.backbone_identity import parameters_digest
from morphoclip.backbones.adapter import Adapter, named_adapter
from morphoclip.columns import CHANNEL, PLATE, SITE, WELL
from morphoclip.device import resolve_device
from morphoclip.errors import InputError, example_of
from morphoclip.features.config import ImageFeaturesConfig
from morphoclip.features.encoding import Chunk, Encoder, chunk_of, key_of
from morphoclip.features.extract import named_settings
from morphoclip.features.made_of import MadeOf, images_of_plates, known_images
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
from morphoclip.features.site_qc import QcTables, summarise_qc
from morphoclip.features.verify import check_plates, require_complete
from morphoclip.gallery.fetching import FetchConfig
from morphoclip.gallery.image_files import ImageFiles
from morphoclip.gallery.read_ahead import read_ahead
from morphoclip.gallery.source import IngestionConfig
from morphoclip.imaging.grey_levels import sample_sites
from morphoclip.imaging.preprocess import SiteImages, measure_plate
from morphoclip.imaging.site_images import (
    illumination_of_plates,
    images_of_sites,
    listed_illumination,
    require_channels,
)
from morphoclip.loaders import Loaders, listed_again
from morphoclip.progress import watched
from morphoclip.schemas.features import PLATE_INTENSITIES

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
    plates = sorted(indexed[PLATE].unique())
    adapter = named_adapter(adapters, config.backbone.adapter)
    refuse_mixing(existing_records, plates, named_settings(config, adapter))
    made_of = images_of_plates(
        indexed, existing_records, existing_features, plate_images.content_of
    )
    rows_of = {str(plate): rows for plate, rows in indexed.groupby(PLATE)}
    images = {
        plate: images_of_sites(
            rows,
            plate_images.images(_stored_pixels(config)),
            _illumination(illumination_functions, rows, plate_images, config),
            config.preprocess.side,
        )
        for plate, rows in rows_of.items()
    }
    kept = [existing_features, existing_tensors] if config.save_tensors else [existing_features]
    missing = {plate: without_features(own, *kept) for plate, own in images.items()}
    sampled = {
        plate: _sampled(own, rows_of[plate])
        for plate, own in images.items()
        if plate not in existing_records
    }
    n_missing = sum(map(len, missing.values()))
    device = resolve_device(config.device)
    logger.info(
        "%d of %d sites to extract on %s", n_missing, sum(map(len, images.values())), device
    )
    digest = parameters_digest(
        config.backbone, config.backbone.folder, *([adapter.digest] if adapter else [])
    )
    encoder = Encoder(config, adapter, device, digest)
    if n_missing or not were_made_by(digest, existing_records, plates):
        refuse_mixing(existing_records, plates, encoder.fingerprint)
    levels_of = partial(_levels, existing_records, sampled, config)

    order = {plate: _paths(own) for plate, own in images.items()}
    needed = {path for own in missing.values() for path in _paths(own)}
    read_twice = {path for own in sampled.values() for path in _paths(own)}
    with read_ahead(plate_images, order, needed | read_twice, read_twice, fetch) as discard:
        levels = {}
        if plate_images.remote is None:  # what stops a plate is told before hours of work
            measured = watched(plates, "measuring grey levels", transient=True)
            levels = {plate: levels_of(plate) for plate in measured}
        for number, plate in enumerate(plates, start=1):
            own = levels[plate] if plate in levels else levels_of(plate)
            record = _record(plate, existing_records, own, made_of[plate], encoder)
            is_new = plate not in existing_records or record != existing_records[plate]()
            yield chunk_of(intensities={plate: own}, records={plate: record} if is_new else {})
            loaders, without = dict(existing_features), []
            batches = encoder.encode(missing[plate], own)
            n_batches = -(-len(missing[plate]) // config.batch_size)
            what = f"extracting features of {plate}, plate {number} of {len(plates)}"
            for batch in watched(batches, what, total=n_batches):
                chunk = encoder.chunk(batch)
                loaders |= {key: partial(_same, own) for key, own in chunk["features"].items()}
                without += [site.images for site in batch.sites if site.pixels is None]
                yield chunk
            if any(key_of(site) in loaders for site in images[plate]):
                packed = pack_plate(plate, rows_of[plate], loaders, record["fingerprint"])
                if not _is_packed(plate, existing_plates, packed):
                    yield chunk_of(packed={plate: packed})
            if fetch.stream and plate_images.remote is not None:
                check = check_plates(
                    rows_of[plate],
                    _set_aside(without),
                    listed_again(existing_features),
                    listed_again(existing_records),
                    listed_again(existing_plates),
                    config,
                    adapter,
                )
                require_complete(check)
                done = [site for site in images[plate] if site not in without]
                n_deleted = discard(_paths(done))
                logger.info("the features of %s are verified; %d images deleted", plate, n_deleted)
            else:
                discard(_paths(sampled.get(plate, [])))


def _levels(
    records: Loaders[Any],
    sampled: dict[str, list[SiteImages]],
    config: ImageFeaturesConfig,
    plate: str,
) -> pd.DataFrame:
    """Grey levels of a plate's channels over a sample of its sites.

    A plate that has features keeps the levels they were made with: measured again over sites that
    came later, its sites would not be normalised alike.
    """
    if plate in records:
        rows = records[plate]()["plate_intensities"]
    else:
        levels = measure_plate(sampled[plate], config.channels, workers=config.preprocess.n_workers)
        rows = [{PLATE: plate, CHANNEL: channel, **own} for channel, own in levels.items()]
    return pd.DataFrame(rows).reindex(columns=list(PLATE_INTENSITIES.columns))


def _record(
    plate: str,
    records: Loaders[Any],
    levels: pd.DataFrame,
    made_of: MadeOf,
    encoder: Encoder,
) -> dict[str, Any]:
    """The record of before, with the images that came since; or a new one."""
    if plate not in records:
        return plate_record(encoder.fingerprint, levels, encoder.digest, made_of)
    record: dict[str, Any] = records[plate]()
    return record if known_images(record) == made_of else record | {"images": made_of.model_dump()}


def _sampled(images: list[SiteImages], rows: pd.DataFrame) -> list[SiteImages]:
    chosen = {site_key(*site) for site in sample_sites(rows).itertuples(index=False)}
    return [site for site in images if key_of(site) in chosen]


def _paths(sites: Iterable[SiteImages]) -> list[str]:
    return [file.path for site in sites for file in site.files.values()]


def _same(value: Any) -> Any:
    return value


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
