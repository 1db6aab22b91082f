"""Grey levels of plates and images, and how counts become model input in [0, 1]."""

import hashlib
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Any, NamedTuple, Self, assert_never

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morphoclip.columns import PLATE, SITE, WELL
from morphoclip.imaging.config import Normalisation
from morphoclip.imaging.kernels import count_levels, laplacian_variance
from morphoclip.imaging.tiff import Plane, UnusablePlane

LOW_PERCENT, HIGH_PERCENT = 0.1, 99.9
_BRIGHTEST_FRACTION = 0.000028
"""CLOOME's and CellCLIP's threshold: the brightest 0.0028 % of an image's pixels saturate."""

_IMAGENET_GREY_MEAN, _IMAGENET_GREY_SD = 0.449, 0.226


class ImageKind(NamedTuple):
    """Rows, columns and the largest count (255 or 65,535) of an image."""

    height: int
    width: int
    dtype_max: int

    @classmethod
    def of(cls, plane: Plane) -> Self:
        """The kind of a plane ``(H, W)``."""
        height, width = plane.shape
        return cls(height, width, int(np.iinfo(plane.dtype).max))


class GreyRange(NamedTuple):
    """Counts that become 0 and 1, and the kind of the plate's images where it is known."""

    low: float
    high: float
    kind: ImageKind | None = None


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
    """Percentiles over all pixels of the sampled planes of one channel, in counts.

    Size and type are those of most of them; others do not count.
    """
    of_kind: dict[ImageKind, list[Plane]] = defaultdict(list)
    for plane in planes:
        of_kind[ImageKind.of(plane)].append(plane)
    if not of_kind:
        raise ValueError("no plane to measure")
    kind = max(of_kind, key=lambda kind: (len(of_kind[kind]), kind))
    pooled = np.sum([histogram(plane) for plane in of_kind[kind]], axis=0)
    return {
        "p0_1": percentile_of(pooled, LOW_PERCENT),
        "p99_9": percentile_of(pooled, HIGH_PERCENT),
        "maximum": float(np.flatnonzero(pooled)[-1]),
        "dtype_max": float(kind.dtype_max),
        "height": float(kind.height),
        "width": float(kind.width),
        "n_sites_sampled": len(of_kind[kind]),
    }


def range_of(levels: Mapping[str, Any]) -> GreyRange:
    """The range of a plate's channel from what `plate_levels` measured."""
    size = [levels.get(name) for name in ("height", "width", "dtype_max")]
    known = not any(value is None or pd.isna(value) for value in size)
    kind = ImageKind(*map(int, size)) if known else None  # type: ignore[arg-type]
    return GreyRange(levels["p0_1"], levels["p99_9"], kind)


def require_kind(plane: Plane, expected: ImageKind | None) -> None:
    """Refuse an image that is not like its plate's: resized, it would look like the others.

    Raises:
        UnusablePlane: ``wrong_shape`` or ``wrong_dtype``.
    """
    found = ImageKind.of(plane)
    if expected is None or found == expected:
        return
    if found[:2] != expected[:2]:
        raise UnusablePlane(
            "wrong_shape",
            f"{found.height} x {found.width} pixels, and the plate's images have "
            f"{expected.height} x {expected.width}",
        )
    raise UnusablePlane(
        "wrong_dtype",
        f"counts up to {found.dtype_max}, and the plate's images have {expected.dtype_max}",
    )


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
            return _map_to_unit(plate_range.low, plate_range.high)
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
        ValueError: The function has another shape.
    """
    if function.shape != plane.shape:
        raise ValueError(f"illumination function {function.shape}, image {plane.shape}")
    evened = plane * (function.mean() / function)
    return np.clip(np.rint(evened), 0, np.iinfo(plane.dtype).max).astype(plane.dtype)
