"""What is on disk of a plate's sites, what is missing, and what becomes of it."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from morphoclip.config import Names
from morphoclip.errors import InputError, example_of
from morphoclip.features.fingerprint import Fingerprint, require_same
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.imaging.preprocess import SiteImages
from morphoclip.imaging.sites import parse_image_name, site_name
from morphoclip.schemas import (
    CHANNEL,
    FILE,
    FOLDER,
    PLATE,
    SITE,
    WELL,
)

logger = logging.getLogger(__name__)

_SITE = [PLATE, WELL, SITE]
Loaders = Mapping[str, Callable[[], Any]]


def site_key(plate: str, well: str, site: int) -> str:
    """Where a site's files lie below their folder: ``BR00117010/r01c01f01``."""
    return f"{plate}/{site_name(well, site)}"


def sites_of_plates(site_index: pd.DataFrame, plates: Names | None) -> pd.DataFrame:
    """The rows of these plates; None takes all.

    Raises:
        InputError: A plate is not in the index.
    """
    if plates is None:
        return site_index
    absent = sorted(set(plates) - set(site_index[PLATE]))
    if absent:
        raise InputError(
            f"ingestion.plates names {len(absent)} plate(s) that site_index does not hold: "
            f"{example_of(absent)}; run kedro run --pipeline ingestion for them first"
        )
    return site_index[site_index[PLATE].isin(plates)]


def images_of_sites(
    site_index: pd.DataFrame,
    read_of_folder: Callable[[str], Callable[[str], bytes]],
    illumination: Mapping[str, Mapping[str, NDArray[np.floating]]],
) -> list[SiteImages]:
    """The files of every site, channels in the order of the mapping, sites in order of wells."""
    sites = []
    for (plate, folder, well, site), rows in site_index.groupby([PLATE, FOLDER, WELL, SITE]):
        files = dict(zip(rows[CHANNEL], rows[FILE], strict=True))
        even = illumination.get(plate, {})
        sites.append(SiteImages(plate, well, int(site), files, read_of_folder(folder), even))
    return sites


def illumination_of_plates(
    functions: Loaders, plates: Iterable[str], channels: Iterable[str], *, wanted: bool
) -> dict[str, dict[str, NDArray[np.floating]]]:
    """The illumination functions of each plate and channel, ``<barcode>_Illum<channel>.npy``.

    Raises:
        InputError: One is wanted and not there.
    """
    if not wanted:
        return {}
    by_name = {key.rsplit("/", 1)[-1].lower(): load for key, load in functions.items()}
    names = {(p, c): f"{p}_illum{c}".lower() for p in plates for c in channels}
    absent = [f"{p}_Illum{c}.npy" for (p, c), name in names.items() if name not in by_name]
    if absent:
        raise InputError(
            f"{len(absent)} illumination function(s) are not there: {example_of(absent)}; copy the "
            "batch's illum/ folder, or set image_features.preprocess.illumination to none"
        )
    return {p: {c: by_name[names[p, c]]() for c in channels} for p in plates}


def without_features(sites: Iterable[SiteImages], stored: Iterable[str]) -> list[SiteImages]:
    """The sites that have no features on disk yet."""
    present = set(stored)
    return [s for s in sites if site_key(s.plate, s.well, s.site) not in present]


def refuse_mixing(stored: Loaders, plates: Iterable[str], fingerprint: Fingerprint) -> None:
    """Refuse to add features to plates that hold features made differently.

    Raises:
        InputError: With the difference and the folder to move away.
    """
    for plate in plates:
        if plate in stored:
            require_same(
                {f"plate {plate} on disk": stored[plate]()["fingerprint"], "this run": fingerprint},
                f"move 04_feature/site_features/{plate} away, or go back to those settings",
            )


def require_channels(site_index: pd.DataFrame, channels: Mapping[str, int]) -> None:
    """Refuse parameters that name other channels than the sites were indexed by.

    Raises:
        InputError: With both.
    """
    first = site_index.drop_duplicates(CHANNEL)
    indexed = {
        channel: key.channel if (key := parse_image_name(name)) else 0
        for channel, name in zip(first[CHANNEL], first[FILE], strict=True)
    }
    if list(indexed.items()) != list(channels.items()):
        raise InputError(
            f"image_features.channels is {dict(channels)} and the sites were indexed by {indexed}: "
            "run kedro run --pipeline ingestion again with these channels"
        )


def plate_record(fingerprint: Fingerprint, intensities: pd.DataFrame) -> dict[str, Any]:
    """What lies beside a plate's site features: how they were made, and by which grey levels."""
    return {
        "fingerprint": fingerprint,
        "plate_intensities": intensities.to_dict("records"),
    }


def pack_plate(
    plate: str, site_index: pd.DataFrame, stored: Loaders, fingerprint: Fingerprint
) -> PlateFeatures:
    """Pack a plate's stored sites, in order of wells.

    Raises:
        InputError: None of the plate's sites has features.
    """
    indexed = site_index.loc[site_index[PLATE] == plate, [WELL, SITE]].drop_duplicates()
    sites = [
        (well, int(site))
        for well, site in indexed.sort_values([WELL, SITE]).itertuples(index=False)
        if site_key(plate, well, site) in stored
    ]
    if not sites:
        raise InputError(
            f"no site of plate {plate} could be used; set_aside_sites says why: check its images"
        )
    tokens: list[Tensor] = [stored[site_key(plate, well, site)]() for well, site in sites]
    return PlateFeatures.pack(plate, sites, torch.stack(tokens), fingerprint)
