"""What was seen of every image, and the sites that go no further."""

import hashlib
import logging
from collections.abc import Iterable
from typing import NamedTuple

import pandas as pd

from morphoclip.columns import (
    CHANNEL,
    DETAIL,
    PLATE,
    QUALITY,
    REASON,
    SITE,
    WELL,
)
from morphoclip.errors import InputError
from morphoclip.features.site_files import site_key
from morphoclip.features.well_quality import assess_wells, with_near_empty
from morphoclip.imaging.preprocess import PreparedSite
from morphoclip.imaging.sites import site_name
from morphoclip.loaders import Loaders
from morphoclip.schemas.features import SITE_QC
from morphoclip.schemas.ingestion import SET_ASIDE_SITES

logger = logging.getLogger(__name__)

_SITE = [PLATE, WELL, SITE]
_MEASURES = ("mean", "p0_1", "p99_9", "used_range", "saturated_fraction", "focus")

_QC_TYPES = {
    name: "str" if name in {PLATE, WELL, CHANNEL, REASON, DETAIL} else "float64"
    for name in SITE_QC.columns
    if name != "near_empty"
} | {SITE: "int64"}


class QcTables(NamedTuple):
    """Grey levels of all images, sites that go no further, and how wells look, each by plate."""

    site_qc: dict[str, pd.DataFrame]
    set_aside: dict[str, pd.DataFrame]
    wells: dict[str, pd.DataFrame]


def by_plate(table: pd.DataFrame, plates: Iterable[str]) -> dict[str, pd.DataFrame]:
    """The rows of each of the plates; a plate without rows keeps an empty table."""
    return {plate: table[table[PLATE] == plate].reset_index(drop=True) for plate in plates}


def qc_rows(sites: Iterable[PreparedSite]) -> pd.DataFrame:
    """One row per image that was read, or could not be."""
    rows = []
    for prepared in sites:
        key = (prepared.images.plate, prepared.images.well, prepared.images.site)
        for channel in prepared.images.files:
            levels, finding = prepared.levels.get(channel), prepared.unusable.get(channel)
            numbers = [getattr(levels, name, None) for name in _MEASURES]
            numbers += [None, prepared.nuclei.get(channel)]  # near_empty: beside the whole plate
            reason = (finding.reason, str(finding)) if finding else (None, None)
            rows.append((*key, channel, *numbers, *reason))
    return pd.DataFrame(rows, columns=list(SITE_QC.columns))


def qc_parts(qc: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Rows of a batch by plate, each under a name that no other batch of sites has."""
    parts = {}
    for plate, rows in qc.groupby(PLATE):
        sites = ",".join(site_name(*key) for key in rows[[WELL, SITE]].itertuples(index=False))
        parts[f"{plate}/{hashlib.sha256(sites.encode()).hexdigest()[:16]}"] = rows
    return parts


def summarise_qc(
    parts: Loaders[pd.DataFrame],
    site_index: pd.DataFrame,
    existing: Iterable[str],
    incomplete: pd.DataFrame,
    well_index: pd.DataFrame,
) -> QcTables:
    """Put the batches' rows together, and say of every site without features why it has none.

    With what a plate's controls usually look like, near-empty images and wells are marked.

    A site read more than once keeps the row that agrees with what is on disk: with features, the
    one without a reason; without features, the one with a reason. A site that has features and
    whose rows are gone has empty ones.

    Raises:
        InputError: A site has neither features nor a reason.
    """
    plates = sorted(site_index[PLATE].unique())
    present = set(existing)
    indexed = site_index[[*_SITE, CHANNEL]]
    keys = pd.Series(map(site_key, indexed[PLATE], indexed[WELL], indexed[SITE]), indexed.index)
    indexed = indexed.assign(present=keys.isin(present))
    of_plates = [
        load() for key, load in sorted(parts.items()) if key.split("/", 1)[0] in set(plates)
    ]
    read = pd.concat([pd.DataFrame(columns=list(SITE_QC.columns)).astype(_QC_TYPES), *of_plates])
    failed_sites = read.loc[read[REASON].notna(), _SITE].drop_duplicates().assign(failed=True)
    read = read.merge(failed_sites, on=_SITE, how="left").merge(indexed, on=[*_SITE, CHANNEL])
    failed_now = read["failed"].notna() & ~read["present"]
    read = read[(read["present"] & read[REASON].isna()) | failed_now]
    read = read.sort_values(REASON, key=pd.Series.notna, kind="stable")  # a reason counts
    read = read.drop_duplicates([*_SITE, CHANNEL], keep="last").drop(columns=["failed", "present"])
    qc = indexed.merge(read, on=[*_SITE, CHANNEL], how="left", indicator="found")
    lost = qc[~qc["present"] & (qc["found"] == "left_only")].drop_duplicates(_SITE)
    if len(lost):
        raise InputError(
            f"{len(lost)} site(s) have neither features nor a reason, e.g. "
            f"{site_key(*lost[_SITE].iloc[0])}; run kedro run --pipeline image_features again"
        )
    qc = with_near_empty(qc[list(SITE_QC.columns)], well_index)
    qc = qc.sort_values([*_SITE, CHANNEL], ignore_index=True)
    failed = qc[qc[REASON].notna()].drop_duplicates([*_SITE, REASON])
    set_aside = pd.concat(
        [incomplete, failed[[*_SITE, REASON, DETAIL]]],
        ignore_index=True,
    )[list(SET_ASIDE_SITES.columns)]
    logger.info(
        "%d plates: %d sites have features, %d set aside (%s)%s",
        len(plates),
        qc.drop_duplicates(_SITE).shape[0] - failed.drop_duplicates(_SITE).shape[0],
        set_aside[_SITE].drop_duplicates().shape[0],
        ", ".join(f"{reason} {n}" for reason, n in set_aside[REASON].value_counts().items())
        or "none",
        f"; set_aside_sites lists them, e.g. {set_aside[DETAIL].iloc[0]}" if len(set_aside) else "",
    )
    wells = assess_wells(qc, well_index)
    if flagged := wells[QUALITY].value_counts().to_dict():
        logger.warning(
            "%d well(s) are unlike their plate's controls (%s): see well_quality",
            sum(flagged.values()),
            ", ".join(f"{quality} {number}" for quality, number in flagged.items()),
        )
    return QcTables(
        by_plate(qc, plates),
        by_plate(set_aside, sorted({*plates, *incomplete[PLATE]})),
        by_plate(wells, plates),
    )
