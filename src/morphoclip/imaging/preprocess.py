"""Decode, normalise, resize: sites to model input, overlapping, in bounded memory."""

from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from typing import NamedTuple, assert_never

import numpy as np
from numpy.typing import NDArray

from morphoclip.errors import InputError
from morphoclip.imaging.config import Normalisation, PreprocessConfig, Resize
from morphoclip.imaging.grey_levels import (
    GreyMap,
    GreyRange,
    ImageLevels,
    correct_illumination,
    grey_map,
    image_levels,
    plate_levels,
    require_kind,
)
from morphoclip.imaging.kernels import Taps, scaled_and_resized
from morphoclip.imaging.nuclei import count_nuclei
from morphoclip.imaging.thumbnails import encode_strip
from morphoclip.imaging.tiff import OpenFile, Plane, UnusablePlane


class ImageFile(NamedTuple):
    """Where an image lies: a file, and the image's number in it; 0 where it is the only one."""

    path: str
    number: int = 0


@dataclass(frozen=True)
class SiteImages:
    """The images of one site, by channel, and how their files are opened.

    ``illumination`` holds the plate's illumination function ``(H, W)`` of each channel, or nothing;
    ``side`` is the number of pixels per side of the middle that is taken, None for all.
    """

    plate: str
    well: str
    site: int
    files: Mapping[str, ImageFile]
    open_file: OpenFile
    illumination: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)
    side: int | None = None


@dataclass(frozen=True)
class PreparedSite:
    """A site as the model takes it, with what was seen on the way.

    ``pixels`` is ``(C, size, size)`` float32, or None where an image is unusable; ``nuclei`` how
    many the channel shows whose nuclei are counted; ``thumbnail`` a strip of its channels as WebP.
    """

    images: SiteImages
    pixels: NDArray[np.float32] | None
    levels: Mapping[str, ImageLevels]
    unusable: Mapping[str, UnusablePlane]
    nuclei: Mapping[str, int] = field(default_factory=dict)
    thumbnail: bytes | None = None


def read_site(images: SiteImages) -> tuple[dict[str, Plane], dict[str, UnusablePlane]]:
    """Decoded planes by channel, and the channels that have none, each with the reason."""
    planes: dict[str, Plane] = {}
    unusable: dict[str, UnusablePlane] = {}
    opened: dict[str, Callable[[int], Plane]] = {}  # a file of several channels is read once
    for channel, (path, number) in images.files.items():
        try:
            if path not in opened:
                opened[path] = images.open_file(path)
            planes[channel] = _middle(_even(opened[path](number), channel, images), images)
        except FileNotFoundError:
            unusable[channel] = UnusablePlane("missing", f"{path} is gone")
        except OSError as error:
            unusable[channel] = UnusablePlane("unreadable", f"{path}: {error.strerror or error}")
        except UnusablePlane as finding:
            unusable[channel] = UnusablePlane(finding.reason, f"{path}: {finding}")
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


def _middle(plane: Plane, images: SiteImages) -> Plane:
    """The square in the middle of a plane ``(H, W)``, ``side`` pixels long.

    Raises:
        InputError: The plane is smaller.
    """
    side = images.side
    if side is None:
        return plane
    if min(plane.shape) < side:
        raise InputError(
            f"the images of plate {images.plate} have {plane.shape[0]} x {plane.shape[1]} pixels, "
            f"and image_features.preprocess.field takes {side} of them: check pixel_size, or "
            "choose a smaller field, alike for all plates that are to be compared"
        )
    top, left = ((length - side) // 2 for length in plane.shape)
    return np.ascontiguousarray(plane[top : top + side, left : left + side])


def prepare_site(
    images: SiteImages, ranges: Mapping[str, GreyRange], config: PreprocessConfig
) -> PreparedSite:
    """One site, read, normalised with its plate's grey ranges and resized."""
    planes, unusable = read_site(images)
    for channel, plane in planes.items():
        try:
            require_kind(plane, ranges[channel].kind)
        except UnusablePlane as finding:
            path = images.files[channel].path
            unusable[channel] = UnusablePlane(finding.reason, f"{path}: {finding}")
    levels = {channel: image_levels(plane) for channel, plane in planes.items()}
    if unusable:
        return PreparedSite(images, None, levels, unusable)
    pixels = np.stack(
        [
            resize_plane(
                planes[channel],
                grey_map(planes[channel], config.normalise, ranges[channel]),
                config.size,
                config.resize,
            )
            for channel in images.files
        ]
    )
    nuclear = config.nuclear_channel(images.files)
    nuclei = {nuclear: count_nuclei(planes[nuclear])} if nuclear else {}
    thumbnail = _thumbnail(planes, images, ranges, config) if config.thumbnails else None
    return PreparedSite(images, pixels, levels, unusable, nuclei, thumbnail)


def _thumbnail(
    planes: Mapping[str, Plane],
    images: SiteImages,
    ranges: Mapping[str, GreyRange],
    config: PreprocessConfig,
) -> bytes:
    """All channels between the plate's percentiles, whatever the model's input is."""
    tiles = [
        resize_plane(
            planes[channel],
            grey_map(planes[channel], Normalisation.PLATE_PERCENTILE, ranges[channel]),
            min(config.thumbnails, *planes[channel].shape),
            "area",
        )
        for channel in images.files
    ]
    return encode_strip(np.stack(tiles))


def prepare_sites(
    sites: Iterable[SiteImages],
    ranges: Mapping[str, Mapping[str, GreyRange]],
    config: PreprocessConfig,
    *,
    ahead: int = 1,
) -> Iterator[PreparedSite]:
    """Prepare sites in order on reader threads, so that the next batch is ready when it is wanted.

    At most ``ahead`` sites are held, and no fewer than two per thread.

    Args:
        sites: What to read.
        ranges: Plate -> channel -> grey range.
        config: Size, normalisation, resizing, threads.
        ahead: Sites to hold; a device is kept busy by no less than its batch.
    """
    held = max(ahead, 2 * config.n_workers)
    waiting: deque[Future[PreparedSite]] = deque()
    with ThreadPoolExecutor(config.n_workers, thread_name_prefix="tiff") as readers:
        for images in sites:
            waiting.append(readers.submit(prepare_site, images, ranges[images.plate], config))
            if len(waiting) >= held:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def resize_plane(plane: Plane, grey: GreyMap, size: int, resize: Resize) -> NDArray[np.float32]:
    """Counts ``(H, W)`` to model input ``(size, size)``.

    Args:
        plane: Counts.
        grey: How counts become model input; applied before pixels are mixed.
        size: Pixels per side.
        resize: ``area`` is the exact mean over each output pixel's box; ``bilinear`` takes the two
            nearest pixels of each axis, as torch's ``interpolate`` does without antialias.
    """
    rows, columns = (_taps(length, size, resize) for length in plane.shape)
    single = tuple(np.float32(number) for number in grey)
    resized: NDArray[np.float32] = scaled_and_resized(plane, single, rows, columns)
    return resized


@lru_cache(maxsize=16)
def _taps(source: int, target: int, resize: Resize) -> Taps:
    """What one axis is made of; the weights of an output pixel sum to 1."""
    match resize:
        case "area":
            edges = np.linspace(0, source, target + 1)
            begin, end = edges[:-1, None], edges[1:, None]
        case "bilinear":
            middle = (np.arange(target)[:, None] + 0.5) * source / target
            centre = np.clip(middle, 0.5, source - 0.5)
            begin, end = centre - 0.5, centre + 0.5
        case _:
            assert_never(resize)
    pixel = np.arange(source)
    weights = np.clip(np.minimum(end, pixel + 1) - np.maximum(begin, pixel), 0, None)
    weights /= weights.sum(axis=1, keepdims=True)
    return _sparse(weights.astype(np.float32))


def _sparse(weights: NDArray[np.float32]) -> Taps:
    """``(T, source)`` weights without the zeros around each row's own."""
    used = weights > 0
    n_taps = int(used.sum(axis=1).max())
    first = np.minimum(used.argmax(axis=1), weights.shape[1] - n_taps)
    return Taps(first, np.take_along_axis(weights, first[:, None] + np.arange(n_taps), axis=1))


def measure_plate(
    sites: Sequence[SiteImages], channels: Iterable[str], *, workers: int
) -> dict[str, dict[str, float]]:
    """Grey levels of a plate's channels over some of its sites: channel -> numbers in counts.

    Images that cannot be used are passed over here; reading them for their features says why.

    Raises:
        InputError: Not one of the sites can be used, or a channel has no contrast.
    """
    with ThreadPoolExecutor(workers, thread_name_prefix="tiff") as readers:
        read = list(readers.map(read_site, sites))
    usable = [planes for planes, unusable in read if not unusable]
    if not usable:
        finding = next(iter(read[0][1].values()))
        raise InputError(
            f"none of the {len(sites)} sampled sites of plate {sites[0].plate} can be read, e.g. "
            f"{finding}; check that its images are there and whole"
        )
    levels = {c: plate_levels(planes[c] for planes in usable) for c in channels}
    for channel, of_channel in levels.items():
        if of_channel["p0_1"] == of_channel["p99_9"]:
            raise InputError(
                f"channel {channel} of plate {sites[0].plate} has no contrast: the pixels of "
                f"{of_channel['n_sites_sampled']} sampled images are {of_channel['p0_1']:.0f}; "
                "look at its images, and leave out the plate (ingestion.plates names those to "
                "take) or the channel (image_features.channels)"
            )
    return levels
