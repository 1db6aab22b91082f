"""What is on disk of a plate's sites, what is missing, and what becomes of it."""

import logging
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from morphoclip.config import Names
from morphoclip.errors import InputError, example_of
from morphoclip.features.fingerprint import Fingerprint, require_same
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.imaging.preprocess import PreparedSite, SiteImages
from morphoclip.imaging.sites import site_name
from morphoclip.schemas import (
    CHANNEL,
    DETAIL,
    FILE,
    FOLDER,
    PLATE,
    REASON,
    SET_ASIDE_SITES,
    SITE,
    SITE_QC,
    WELL,
)

logger = logging.getLogger(__name__)

_SITE = [PLATE, WELL, SITE]
_MEASURES = (
    "mean", "p0_1", "p99_9", "used_range", "saturated_fraction", "focus", "near_empty"
)  # fmt: skip

Loaders = Mapping[str, Callable[[], Any]]


class QcTables(NamedTuple):
    """Grey levels of all images, and every site that goes no further."""

    site_qc: pd.DataFrame
    set_aside: pd.DataFrame


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
                {f"plate {plate} on disk": stored[plate](), "this run": fingerprint},
                f"move 04_feature/site_features/{plate} and plate_features/{plate}.pt away, or go "
                "back to those settings",
            )


def qc_rows(sites: Iterable[PreparedSite]) -> pd.DataFrame:
    """One row an image that was read, or could not be."""
    rows = []
    for prepared in sites:
        key = (prepared.images.plate, prepared.images.well, prepared.images.site)
        for channel in prepared.images.files:
            levels, finding = prepared.levels.get(channel), prepared.unusable.get(channel)
            numbers = [getattr(levels, name, None) for name in _MEASURES]
            reason = (finding.reason, str(finding)) if finding else (None, None)
            rows.append((*key, channel, *numbers, *reason))
    return pd.DataFrame(rows, columns=list(SITE_QC.columns))


def summarise_qc(
    parts: Loaders, site_index: pd.DataFrame, stored: Iterable[str], incomplete: pd.DataFrame
) -> QcTables:
    """Put the batches' rows together, and say of every site without features why it has none.

    A site read more than once keeps the row that agrees with what is on disk: with features, the
    one without a reason.

    Raises:
        InputError: A site has neither features nor a reason.
    """
    plates = sorted(site_index[PLATE].unique())
    own = [load() for key, load in sorted(parts.items()) if key.split("/", 1)[0] in set(plates)]
    qc = pd.concat(own, ignore_index=True)
    present = set(stored)
    keys = pd.Series(map(site_key, qc[PLATE], qc[WELL], qc[SITE]), index=qc.index, dtype="str")
    unusable = qc.groupby(_SITE)[REASON].transform("count") > 0
    qc = qc[(keys.isin(present) & qc[REASON].isna()) | (~keys.isin(present) & unusable)]
    qc = qc.drop_duplicates([*_SITE, CHANNEL], keep="last")
    indexed = site_index[_SITE].drop_duplicates()
    qc = qc.merge(indexed, on=_SITE).sort_values([*_SITE, CHANNEL], ignore_index=True)
    accounted = set(map(tuple, qc[_SITE].drop_duplicates().itertuples(index=False)))
    lost = [s for s in indexed.itertuples(index=False) if tuple(s) not in accounted]
    if lost:
        raise InputError(
            f"{len(lost)} site(s) have neither features nor a reason, e.g. "
            f"{site_key(*lost[0])}; run kedro run --pipeline image_features again"
        )
    failed = qc[qc[REASON].notna()].drop_duplicates([*_SITE, REASON])
    set_aside = pd.concat(
        [incomplete[incomplete[PLATE].isin(plates)], failed[[*_SITE, REASON, DETAIL]]],
        ignore_index=True,
    )[list(SET_ASIDE_SITES.columns)]
    logger.info(
        "%d plates: %d sites have features, %d set aside (%s)",
        len(plates),
        len(accounted) - failed[_SITE].drop_duplicates().shape[0],
        set_aside[_SITE].drop_duplicates().shape[0],
        ", ".join(f"{reason} {n}" for reason, n in set_aside[REASON].value_counts().items())
        or "none",
    )
    qc.attrs["plates"] = set_aside.attrs["plates"] = plates
    return QcTables(qc, set_aside)


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


def is_packed(
    packed: PlateFeatures, site_index: pd.DataFrame, stored: Iterable[str], fingerprint: Fingerprint
) -> bool:
    """Whether a packed plate holds just the sites that are stored, made as this run makes them."""
    indexed = site_index[site_index[PLATE] == packed.plate][_SITE].drop_duplicates()
    wanted = {site_key(*site) for site in indexed.itertuples(index=False)} & set(stored)
    held = {site_key(*site) for site in packed.sites[_SITE].itertuples(index=False)}
    return held == wanted and packed.fingerprint == fingerprint
