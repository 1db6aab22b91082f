"""Which images show next to nothing, and which wells are unlike the controls of their plate."""

import numpy as np
import pandas as pd

from morphoclip.columns import CHANNEL, PLATE, QUALITY, REASON, ROLE, SITE, WELL, Quality, Role
from morphoclip.schemas.features import WELL_QUALITY

LEAST_CONTRAST = 0.2
"""Of the usual contrast; an image with less shows next to nothing."""
_LEAST_ALONE = 1.5
"""An image whose brightest pixels are not this many times its darkest is near-empty anywhere."""
FEWEST_CELLS = 0.25
"""Of the usual number of nuclei; a well with fewer has few cells."""
_USUAL_NUCLEI = 5.0
"""Per site; where controls have fewer, or are not counted, few cells say nothing."""
TOO_BRIGHT = 5.0
"""Times the usual brightness; a well of more shows debris or a fluorescent compound."""

_SITE = [PLATE, WELL, SITE]
_PLATE_CHANNEL = [PLATE, CHANNEL]


def with_near_empty(site_qc: pd.DataFrame, well_index: pd.DataFrame) -> pd.DataFrame:
    """Images with the column ``near_empty``: next to no contrast beside those of usual wells.

    Contrast is the distance between the 0.1 and the 99.9 percentile. Usual is the median over the
    plate's negative controls (over all its wells where there are none) of the same channel.
    """
    contrast = site_qc["p99_9"] - site_qc["p0_1"]
    usual = _usual(site_qc.assign(value=contrast), well_index, _PLATE_CHANNEL)
    flat = site_qc["p99_9"] < _LEAST_ALONE * site_qc["p0_1"].clip(lower=1)
    near_empty = (flat | (contrast < LEAST_CONTRAST * usual)).astype("boolean")
    return site_qc.assign(near_empty=near_empty.mask(contrast.isna()))


def assess_wells(site_qc: pd.DataFrame, well_index: pd.DataFrame) -> pd.DataFrame:
    """One row per well that was read: cells, brightness, and what is wrong with it.

    A site is near-empty when more than half of its channels are; a well ``near_empty`` when more
    than half of its sites are, has ``few_cells`` when it shows less than a quarter of the usual
    number of nuclei, and is ``too_bright`` when the brightest of its channels is over five times
    the usual in the median site. Wells that are meant to be empty have no flag. Usual is the median
    over the plate's negative controls, over all its wells where there are none.

    Args:
        site_qc: Images with ``near_empty``; rows of unusable ones are passed over.
        well_index: What each well is for.
    """
    read = site_qc[site_qc[REASON].isna() & site_qc["mean"].notna()]
    bright = read.assign(value=read["p99_9"])
    ratio = bright["value"] / _usual(bright, well_index, _PLATE_CHANNEL).clip(lower=1)
    numbers = {name: read[name].astype(float) for name in ("near_empty", "nuclei")}
    images = read.assign(brightness=ratio, **numbers)
    sites = images.groupby(_SITE).agg(
        empty_channels=("near_empty", "mean"),
        brightness=("brightness", "max"),
        nuclei=("nuclei", "mean"),
    )
    sites["near_empty"] = sites["empty_channels"] > 0.5
    wells = sites.groupby([PLATE, WELL]).agg(
        n_sites=("near_empty", "size"),
        n_near_empty=("near_empty", "sum"),
        brightness=("brightness", "median"),
        nuclei=("nuclei", "mean"),
    )
    wells = wells.reset_index()
    usual = _usual(wells.assign(value=wells["nuclei"]), well_index, [PLATE])
    wells["nuclei_log_ratio"] = np.log((wells["nuclei"] + 1) / (usual + 1))
    few = (usual >= _USUAL_NUCLEI) & (wells["nuclei"] < FEWEST_CELLS * usual)
    findings = {
        Quality.NEAR_EMPTY: 2 * wells["n_near_empty"] > wells["n_sites"],
        Quality.FEW_CELLS: few,
        Quality.TOO_BRIGHT: wells["brightness"] > TOO_BRIGHT,
    }
    roles = well_index.set_index([PLATE, WELL])[ROLE]
    role = roles.reindex(pd.MultiIndex.from_frame(wells[[PLATE, WELL]])).to_numpy()
    flag = pd.Series(None, index=wells.index, dtype="str")
    for quality, found in reversed(findings.items()):  # the first that holds is said
        flag = flag.mask(found & (role != Role.EMPTY), str(quality))
    return wells.assign(**{QUALITY: flag})[list(WELL_QUALITY.columns)]


def _usual(rows: pd.DataFrame, well_index: pd.DataFrame, by: list[str]) -> pd.Series:
    """Median of ``value`` over the plate's negative controls, for every row."""
    roles = well_index.set_index([PLATE, WELL])[ROLE]
    role = roles.reindex(pd.MultiIndex.from_frame(rows[[PLATE, WELL]])).to_numpy()
    is_control = role == Role.NEGCON
    has_controls = pd.Series(is_control, rows.index).groupby(rows[PLATE]).transform("any")
    counted = is_control | (~has_controls.to_numpy() & (role != Role.EMPTY))
    medians = rows[counted].groupby(by)["value"].median()
    keys = rows[by[0]] if len(by) == 1 else pd.MultiIndex.from_frame(rows[by])
    return pd.Series(medians.reindex(keys).to_numpy(), rows.index)
