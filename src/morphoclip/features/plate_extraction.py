"""A plate from its images to what is saved of it: levels, record, features, packed file."""

import logging
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import pandas as pd

from morphoclip.features.encoding import Chunk, chunk_of, key_of
from morphoclip.features.made_of import MadeOf, known_images
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.features.plate_work import Extraction, PlateWork, levels_table
from morphoclip.features.site_files import pack_plate, plate_record, site_key, without_features
from morphoclip.imaging.grey_levels import sample_sites
from morphoclip.imaging.preprocess import SiteImages
from morphoclip.loaders import Loaders
from morphoclip.progress import watched

logger = logging.getLogger(__name__)


class Existing(NamedTuple):
    """What was saved before: features and tensors by site, records and packed files by plate."""

    features: Loaders[Any]
    tensors: Loaders[Any]
    records: Loaders[Any]
    plates: Loaders[Any]


@dataclass(frozen=True)
class PlateSites:
    """A plate's rows of the index, its sites, and what is left to do."""

    rows: pd.DataFrame
    images: Sequence[SiteImages]
    work: PlateWork

    @property
    def paths(self) -> list[str]:
        """Of all its images."""
        return paths_of(self.images)


def planned(
    rows: pd.DataFrame, images: Sequence[SiteImages], existing: Existing, *, save_tensors: bool
) -> PlateSites:
    """What is left to do for a plate.

    A plate that has features keeps the grey levels they were made with: measured again over sites
    that came later, its sites would not be normalised alike.
    """
    plate = images[0].plate
    kept = [existing.features, existing.tensors] if save_tensors else [existing.features]
    missing = without_features(images, *kept)
    if plate in existing.records:
        known = levels_table(existing.records[plate]()["plate_intensities"])
        return PlateSites(rows, images, PlateWork(plate, missing, [], known))
    chosen = {site_key(*site) for site in sample_sites(rows).itertuples(index=False)}
    sampled = [site for site in images if key_of(site) in chosen]
    return PlateSites(rows, images, PlateWork(plate, missing, sampled, None))


def extracted(
    plate: PlateSites,
    extraction: Extraction,
    existing: Existing,
    record_of: Callable[[pd.DataFrame], dict[str, Any]],
    watched_as: tuple[str, int],
) -> Iterator[tuple[Chunk, list[str]]]:
    """What is saved of a plate, chunk after chunk, each with the keys of sites without features.

    Args:
        plate: The plate.
        extraction: Who measures and encodes.
        existing: What was saved before.
        record_of: The record beside its features, by its grey levels.
        watched_as: What is being done, for people who watch, and in how many batches.

    Raises:
        PlateFailed: As the extraction says.
    """
    name, (what, n_batches) = plate.work.plate, watched_as
    levels = extraction.levels(plate.work)
    record = record_of(levels)
    is_new = name not in existing.records or record != existing.records[name]()
    yield chunk_of(intensities={name: levels}, records={name: record} if is_new else {}), []
    loaders = dict(existing.features)
    for chunk, without in watched(extraction.encoded(plate.work, levels), what, total=n_batches):
        loaders |= {key: partial(_same, own) for key, own in chunk["features"].items()}
        yield chunk, without
    if any(key_of(site) in loaders for site in plate.images):
        packed = pack_plate(name, plate.rows, loaders, record["fingerprint"])
        if not _is_packed(name, existing.plates, packed):
            yield chunk_of(packed={name: packed}), []


def new_record(
    plate: str,
    records: Loaders[Any],
    extraction: Extraction,
    digest: str | None,
    made_of: MadeOf,
    levels: pd.DataFrame,
) -> dict[str, Any]:
    """The record of before, with the images that came since; or a new one.

    Args:
        plate: Barcode.
        records: Those of before.
        extraction: Says what features are made with.
        digest: Of the backbone's parameters.
        made_of: The images.
        levels: The plate's grey levels.
    """
    if plate not in records:
        return plate_record(extraction.fingerprint, levels, digest, made_of)
    record: dict[str, Any] = records[plate]()
    return record if known_images(record) == made_of else record | {"images": made_of.model_dump()}


def paths_of(sites: Sequence[SiteImages]) -> list[str]:
    """The images of these sites."""
    return [file.path for site in sites for file in site.files.values()]


def _same(value: Any) -> Any:
    return value


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
