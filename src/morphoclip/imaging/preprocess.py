"""Decode, normalise, resize: sites to model input, overlapping, in bounded memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy import sparse

from morphoclip.config import Config
from morphoclip.errors import InputError
from morphoclip.imaging.grey_levels import (
    GreyRange,
    ImageLevels,
    Normalisation,
    Plane,
    correct_illumination,
    image_levels,
    plate_levels,
    scale_plane,
)
from morphoclip.imaging.tiff import UnusablePlane, decode_plane

Resize = Literal["area", "bilinear"]


class PreprocessConfig(Config):
    """``image_features.preprocess``."""

    size: int = Field(384, ge=16, description="Pixels a side of the model's input.")
    normalise: Normalisation = Normalisation.PLATE_PERCENTILE
    resize: Resize = "area"
    illumination: Literal["none", "npy"] = Field(
        "none", description="npy divides by the gallery's illumination functions."
    )
    workers: int = Field(4, ge=1, description="Threads that read and decode.")


@dataclass(frozen=True)
class SiteImages:
    """The files of one site, by channel, and where to read them.

    ``illumination`` holds the plate's illumination function ``(H, W)`` of each channel, or nothing.
    """

    plate: str
    well: str
    site: int
    files: Mapping[str, str]
    read: Callable[[str], bytes]
    illumination: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)


@dataclass(frozen=True)
class PreparedSite:
    """A site as the model takes it, with what was seen on the way.

    ``pixels`` is ``(C, size, size)`` float32, or None where an image is unusable.
    """

    images: SiteImages
    pixels: NDArray[np.float32] | None
    levels: Mapping[str, ImageLevels]
    unusable: Mapping[str, UnusablePlane]


def read_site(images: SiteImages) -> tuple[dict[str, Plane], dict[str, UnusablePlane]]:
    """Decoded planes by channel, and the channels that have none, each with the reason."""
    planes: dict[str, Plane] = {}
    unusable: dict[str, UnusablePlane] = {}
    for channel, name in images.files.items():
        try:
            planes[channel] = _even(decode_plane(images.read(name)), channel, images)
        except FileNotFoundError:
            unusable[channel] = UnusablePlane("missing", f"{name} is gone")
        except UnusablePlane as finding:
            unusable[channel] = UnusablePlane(finding.reason, f"{name}: {finding}")
    shapes = {plane.shape for plane in planes.values()}
    if len(shapes) > 1:
        differing = UnusablePlane("wrong_shape", f"channels differ in shape: {sorted(shapes)}")
        unusable |= dict.fromkeys(planes, differing)
    return planes, unusable


def _even(plane: Plane, channel: str, images: SiteImages) -> Plane:
    if not images.illumination:
        return plane
    try:
        return correct_illumination(plane, images.illumination[channel])
    except ValueError as error:
        raise UnusablePlane("wrong_shape", str(error)) from error


def prepare_site(
    images: SiteImages, ranges: Mapping[str, GreyRange], config: PreprocessConfig
) -> PreparedSite:
    """One site, read, normalised with its plate's grey ranges and resized."""
    planes, unusable = read_site(images)
    levels = {channel: image_levels(plane) for channel, plane in planes.items()}
    if unusable:
        return PreparedSite(images, None, levels, unusable)
    pixels = np.stack(
        [
            resize_plane(
                scale_plane(planes[channel], config.normalise, ranges[channel]),
                config.size,
                config.resize,
            )
            for channel in images.files
        ]
    )
    return PreparedSite(images, pixels, levels, unusable)


def prepare_sites(
    sites: Iterable[SiteImages],
    ranges: Mapping[str, Mapping[str, GreyRange]],
    config: PreprocessConfig,
) -> Iterator[PreparedSite]:
    """Prepare sites in order on reader threads; at most four a thread are held at a time.

    Args:
        sites: What to read.
        ranges: Plate -> channel -> grey range.
        config: Size, normalisation, resizing, threads.
    """
    waiting: deque[Future[PreparedSite]] = deque()
    with ThreadPoolExecutor(config.workers, thread_name_prefix="tiff") as readers:
        for images in sites:
            waiting.append(readers.submit(prepare_site, images, ranges[images.plate], config))
            if len(waiting) >= 4 * config.workers:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def resize_plane(plane: NDArray[np.float32], size: int, resize: Resize) -> NDArray[np.float32]:
    """Resize ``(H, W)`` to ``(size, size)``: exact box averaging, or bilinear without antialias."""
    height, width = plane.shape
    if (height, width) == (size, size):
        return plane
    rows, columns = _weights(height, size, resize), _weights(width, size, resize)
    resized = columns @ (rows @ plane).T
    return np.ascontiguousarray(resized.T, dtype=np.float32)


@lru_cache(maxsize=16)
def _weights(source: int, target: int, resize: Resize) -> sparse.csr_array:
    """``(target, source)`` weights of one axis; rows sum to 1."""
    if resize == "area":
        edges = np.linspace(0, source, target + 1)
        pixel = np.arange(source)
        overlap = np.minimum(edges[1:, None], pixel + 1) - np.maximum(edges[:-1, None], pixel)
        weights = np.clip(overlap, 0, None) * (target / source)
    else:
        centre = np.clip((np.arange(target) + 0.5) * source / target - 0.5, 0, None)
        left = np.minimum(centre.astype(int), source - 1)
        right = np.minimum(left + 1, source - 1)
        weights = np.zeros((target, source))
        np.add.at(weights, (np.arange(target), left), 1 - (centre - left))
        np.add.at(weights, (np.arange(target), right), centre - left)
    return sparse.csr_array(weights.astype(np.float32))


def measure_plate(
    sites: Sequence[SiteImages], channels: Iterable[str], *, workers: int
) -> dict[str, dict[str, float]]:
    """Grey levels of a plate's channels over some of its sites: channel -> numbers in counts.

    Images that cannot be used are passed over here; reading them for their features says why.

    Raises:
        InputError: Not one of the sites can be used.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="tiff") as readers:
        usable = [planes for planes, unusable in readers.map(read_site, sites) if not unusable]
    if not usable:
        raise InputError(
            f"none of the {len(sites)} sampled sites of plate {sites[0].plate} can be read, e.g. "
            f"{next(iter(sites[0].files.values()))}; check that its images are whole"
        )
    return {c: plate_levels(planes[c] for planes in usable) for c in channels}
