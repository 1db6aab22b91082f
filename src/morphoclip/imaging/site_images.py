"""The images of sites, and the illumination functions that even them."""

import io
from collections import defaultdict
from collections.abc import Callable, Iterable, Iterator, Mapping
from functools import lru_cache, partial
from typing import cast

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morphoclip.columns import (
    CHANNEL,
    ILLUMINATION,
    IMAGE_NUMBER,
    PATH,
    PLATE,
    SITE,
    SOURCE_CHANNEL,
    WELL,
)
from morphoclip.errors import InputError, example_of
from morphoclip.imaging.file_names import Channel, channel_key
from morphoclip.imaging.preprocess import ImageFile, SiteImages
from morphoclip.imaging.tiff import OpenFile
from morphoclip.loaders import Loaders

_WIDEST_ILLUMINATION = 1000.0
"""Between the brightest and the darkest pixel; that of a microscope is a few times."""

_ReadIllumination = Callable[[str, str], NDArray[np.floating]]


def images_of_sites(
    site_index: pd.DataFrame,
    open_file: OpenFile,
    illumination: Mapping[str, Mapping[str, NDArray[np.floating]]],
    side: int | None = None,
) -> list[SiteImages]:
    """The files of every site, channels in the order of the mapping, sites in order of wells.

    Args:
        site_index: One row per image.
        open_file: Opens a file.
        illumination: Plate -> channel -> illumination function ``(H, W)``.
        side: Pixels per side of the middle that is taken of each image.
    """
    sites = []
    for (plate, well, site), rows in site_index.groupby([PLATE, WELL, SITE]):
        places = map(ImageFile, rows[PATH], rows[IMAGE_NUMBER])
        files = dict(zip(rows[CHANNEL], places, strict=True))
        functions = illumination.get(plate, {})
        sites.append(SiteImages(plate, well, int(site), files, open_file, functions, side))
    return sites


class PlateIllumination(Mapping[str, NDArray[np.floating]]):
    """The illumination functions ``(H, W)`` of one plate by channel, read when they are needed."""

    def __init__(self, plate: str, channels: Iterable[str], read: _ReadIllumination) -> None:
        self._plate, self._channels, self._read = plate, tuple(channels), read

    def __getitem__(self, channel: str) -> NDArray[np.floating]:
        if channel not in self._channels:
            raise KeyError(channel)
        return self._read(self._plate, channel)

    def __iter__(self) -> Iterator[str]:
        return iter(self._channels)

    def __len__(self) -> int:
        return len(self._channels)


def illumination_of_plates(
    functions: Loaders[NDArray[np.floating]], plates: Iterable[str], channels: Iterable[str]
) -> dict[str, PlateIllumination]:
    """The illumination functions of each plate and channel, ``<barcode>_Illum<channel>.npy``.

    Those of two plates at most are held in memory: sites are read plate by plate.

    Raises:
        InputError: One is not there, or there twice.
    """
    channels = tuple(channels)
    keys: dict[str, list[str]] = defaultdict(list)
    for key in functions:
        keys[key.rsplit("/", 1)[-1].lower()].append(key)
    names = {(p, c): f"{p}_illum{c}".lower() for p in plates for c in channels}
    absent = [f"{p}_Illum{c}.npy" for (p, c), name in names.items() if name not in keys]
    if absent:
        raise InputError(
            f"{len(absent)} illumination function(s) are not there: {example_of(absent)}; copy the "
            "batch's illum/ folder (kedro run --pipeline fetch does, with this setting), or set "
            "image_features.preprocess.illumination to none"
        )
    if repeated := [keys[name] for name in names.values() if len(keys[name]) > 1]:
        raise InputError(
            f"{len(repeated)} illumination function(s) are there more than once: "
            f"{' and '.join(sorted(repeated[0]))}; keep one of each below illum/"
        )

    @lru_cache(maxsize=2 * len(channels))
    def read(plate: str, channel: str) -> NDArray[np.floating]:
        return checked_illumination(
            functions[keys[names[plate, channel]][0]](), f"{plate}_Illum{channel}"
        )

    return {plate: PlateIllumination(plate, channels, read) for plate, _ in names}


def checked_illumination(function: object, name: str) -> NDArray[np.floating]:
    """An illumination function as it is, where it is one: ``(H, W)``, positive, about even.

    Raises:
        InputError: With what it is instead.
    """
    what = None
    if not isinstance(function, np.ndarray) or function.dtype.kind not in "fiu":
        kind = function.dtype if isinstance(function, np.ndarray) else type(function).__name__
        what = f"holds {kind}, no real numbers"
    elif function.ndim != 2 or not function.size:
        what = f"has the shape {function.shape}, not (height, width)"
    elif n_odd := int(np.count_nonzero(~np.isfinite(function))):
        what = f"has {n_odd} pixel(s) that are not finite"
    elif n_odd := int(np.count_nonzero(function <= 0)):
        what = f"has {n_odd} pixel(s) that are not positive"
    elif (spread := float(function.max()) / float(function.min())) > _WIDEST_ILLUMINATION:
        what = f"differs by a factor of {spread:.3g} between pixels"
    if what is not None:
        raise InputError(
            f"the illumination function {name} {what}: make it again, fetch it again, or set "
            "image_features.preprocess.illumination to none"
        )
    return cast("NDArray[np.floating]", function)


def listed_illumination(
    site_index: pd.DataFrame, read: Callable[[str], bytes]
) -> Loaders[NDArray[np.floating]]:
    """The illumination functions that a source names beside its images; {} where it names none.

    Raises:
        InputError: A plate's channel has several.
    """
    named = site_index.dropna(subset=[ILLUMINATION])
    files = named.drop_duplicates([PLATE, CHANNEL, ILLUMINATION])
    several = files[files.duplicated([PLATE, CHANNEL], keep=False)]
    if len(several):
        raise InputError(
            f"channel {several[CHANNEL].iloc[0]} of plate {several[PLATE].iloc[0]} has several "
            f"illumination functions: {example_of(several[ILLUMINATION])}; a plate has one a "
            "channel"
        )
    return {
        f"{plate}_Illum{channel}": partial(_read_npy, read, path)
        for plate, channel, path in files[[PLATE, CHANNEL, ILLUMINATION]].itertuples(index=False)
    }


def _read_npy(read: Callable[[str], bytes], path: str) -> NDArray[np.floating]:
    try:
        function: NDArray[np.floating] = np.load(io.BytesIO(read(path)), allow_pickle=False)
    except (OSError, ValueError, EOFError) as error:
        raise InputError(
            f"the illumination function {path.rpartition('/')[2]} cannot be read ({error}); fetch "
            "it again, or set image_features.preprocess.illumination to none"
        ) from error
    return function


def require_channels(site_index: pd.DataFrame, channels: Mapping[str, Channel]) -> None:
    """Refuse parameters that name other channels than the sites were indexed by.

    Raises:
        InputError: With both.
    """
    first = site_index.drop_duplicates(CHANNEL)
    indexed = {
        channel: channel_key(called)
        for channel, called in zip(first[CHANNEL], first[SOURCE_CHANNEL], strict=True)
    }
    if list(indexed.items()) != list(channels.items()):
        raise InputError(
            f"image_features.channels is {dict(channels)} and the sites were indexed by {indexed}: "
            "run kedro run --pipeline ingestion again with these channels"
        )
