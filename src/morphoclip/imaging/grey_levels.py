"""Grey levels of plates and images, and how counts become model input in [0, 1]."""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple, assert_never

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morphoclip.columns import PLATE, SITE, WELL
from morphoclip.imaging.config import Normalisation
from morphoclip.imaging.kernels import count_levels, laplacian_variance
from morphoclip.imaging.tiff import Plane

LOW_PERCENT, HIGH_PERCENT = 0.1, 99.9
_BRIGHTEST_FRACTION = 0.000028
"""CLOOME's and CellCLIP's threshold: the brightest 0.0028 % of an image's pixels saturate."""

_IMAGENET_GREY_MEAN, _IMAGENET_GREY_SD = 0.449, 0.226


class GreyRange(NamedTuple):
    """Counts that become 0 and 1."""

    low: float
    high: float


class GreyMap(NamedTuple):
    """Counts to model input: ``clip((counts - low) * gain, floor, ceiling)``."""

    low: float
    gain: float
    floor: float
    ceiling: float


class ImageLevels(NamedTuple):
    """What is measured on one image; grey levels in counts.

    ``used_range`` is the part of its type's range between the two percentiles; ``focus`` is the
    variance of the Laplacian over the squared mean, higher where edges are sharper.
    """

    mean: float
    p0_1: float
    p99_9: float
    maximum: float
    used_range: float
    saturated_fraction: float
    focus: float


def histogram(plane: Plane) -> NDArray[np.int64]:
    """Pixels a grey level, ``(levels,)``: 256 or 65,536."""
    counts: NDArray[np.int64] = count_levels(plane, np.iinfo(plane.dtype).max + 1)
    return counts


def percentile_of(counts: NDArray[np.int64], percent: float) -> float:
    """The lowest grey level that at least ``percent`` of the pixels do not exceed."""
    return _level_at(np.cumsum(counts), percent)


def _level_at(cumulated: NDArray[np.int64], percent: float) -> float:
    return float(np.searchsorted(cumulated, cumulated[-1] * percent / 100, side="left"))


def image_levels(plane: Plane) -> ImageLevels:
    """Measure one image; a pixel at the top of its type's range counts as saturated."""
    counts = histogram(plane)
    cumulated = np.cumsum(counts)
    mean = float(counts @ np.arange(len(counts))) / plane.size
    low, high = _level_at(cumulated, LOW_PERCENT), _level_at(cumulated, HIGH_PERCENT)
    return ImageLevels(
        mean=mean,
        p0_1=low,
        p99_9=high,
        maximum=_level_at(cumulated, 100),
        used_range=(high - low) / (len(counts) - 1),
        saturated_fraction=float(counts[-1] / plane.size),
        focus=laplacian_variance(plane) / max(mean, 1.0) ** 2,
    )


def sample_sites(site_index: pd.DataFrame, *, wells: int = 64) -> pd.DataFrame:
    """One site from each of ``wells`` wells per plate: the same on every machine, in any order."""
    sites = site_index[[PLATE, WELL, SITE]].drop_duplicates()
    digest = [
        hashlib.sha256(f"{plate}/{well}/{site}".encode()).hexdigest()
        for plate, well, site in sites.itertuples(index=False)
    ]
    shuffled = sites.assign(digest=digest).sort_values("digest")
    one_a_well = shuffled.drop_duplicates([PLATE, WELL])
    return one_a_well.groupby(PLATE, sort=True).head(wells).drop(columns="digest")


def plate_levels(planes: Iterable[Plane]) -> dict[str, float]:
    """Percentiles over all pixels of the sampled planes of one channel, in counts."""
    pooled: NDArray[np.int64] | None = None
    number = 0
    for number, plane in enumerate(planes, start=1):  # noqa: B007 - the count is used below
        counts = histogram(plane)
        pooled = counts if pooled is None else pooled + counts
    if pooled is None:
        raise ValueError("no plane to measure")
    return {
        "p0_1": percentile_of(pooled, LOW_PERCENT),
        "p99_9": percentile_of(pooled, HIGH_PERCENT),
        "maximum": float(np.flatnonzero(pooled)[-1]),
        "dtype_max": float(len(pooled) - 1),
        "n_sites_sampled": number,
    }


def grey_map(plane: Plane, normalisation: Normalisation, plate_range: GreyRange) -> GreyMap:
    """How the counts of ``plane`` become model input; a constant image stays constant.

    - ``plate_percentile``: the plate's 0.1 and 99.9 percentiles of the channel become 0 and 1, so
      that differences between wells stay and differences between plates go.
    - ``image_percentile``: 0 stays 0, the brightest 0.0028 % of the image's pixels become 1.
    - ``minmax_site``: the image's minimum and maximum become 0 and 1.
    - ``self_standardise``: mean 0 and standard deviation 1 at the model's first layer.
    - ``uint16``: divided by the type's largest value, as the reference does.
    """
    match normalisation:
        case Normalisation.SELF_STANDARDISE:
            return _standardising_map(float(plane.mean()), float(plane.std()))
        case Normalisation.PLATE_PERCENTILE:
            return _map_to_unit(*plate_range)
        case Normalisation.IMAGE_PERCENTILE:
            brightest = percentile_of(histogram(plane), 100 * (1 - _BRIGHTEST_FRACTION))
            return _map_to_unit(0.0, brightest)
        case Normalisation.MINMAX_SITE:
            return _map_to_unit(float(plane.min()), float(plane.max()))
        case Normalisation.UINT16:
            return _map_to_unit(0.0, float(np.iinfo(plane.dtype).max))
        case _:
            assert_never(normalisation)


def _map_to_unit(low: float, high: float) -> GreyMap:
    """``low`` to 0 and ``high`` to 1; a constant image stays constant."""
    return GreyMap(low, 1 / (high - low) if high > low else 0.0, 0.0, 1.0)


def _standardising_map(mean: float, sd: float) -> GreyMap:
    if sd == 0:
        return GreyMap(0.0, 0.0, _IMAGENET_GREY_MEAN, _IMAGENET_GREY_MEAN)
    gain = _IMAGENET_GREY_SD / sd
    return GreyMap(mean - _IMAGENET_GREY_MEAN / gain, gain, -np.inf, np.inf)


def correct_illumination(plane: Plane, function: NDArray[np.floating]) -> Plane:
    """Counts over the illumination function ``(H, W)`` at mean 1, back in the plane's own type.

    Raises:
        ValueError: The function has another shape, or is not positive everywhere.
    """
    if function.shape != plane.shape:
        raise ValueError(f"illumination function {function.shape}, image {plane.shape}")
    if not (function > 0).all():
        raise ValueError("illumination function is not positive everywhere")
    evened = plane * (function.mean() / function)
    return np.clip(np.rint(evened), 0, np.iinfo(plane.dtype).max).astype(plane.dtype)
