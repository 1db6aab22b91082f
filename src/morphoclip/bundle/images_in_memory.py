"""Images that a notebook holds, as tokens."""

from collections.abc import Callable, Mapping, Sequence

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from morphoclip.backbones.image import ImageBackbone
from morphoclip.bundle.config import ImageSettings
from morphoclip.columns import PLATE, SITE, WELL
from morphoclip.errors import InputError
from morphoclip.features.extract import extract_features
from morphoclip.imaging.grey_levels import GreyRange, range_of, sample_sites
from morphoclip.imaging.preprocess import (
    ImageFile,
    PreparedSite,
    SiteImages,
    measure_plate,
    prepare_sites,
)
from morphoclip.imaging.tiff import Plane, usable_plane


def tokens_of_images(
    images: Sequence[ArrayLike],
    sites: pd.DataFrame,
    settings: ImageSettings,
    backbone: ImageBackbone,
    *,
    batch_size: int,
    device: str,
) -> Tensor:
    """Tokens ``(S, C, D)`` of images ``(C, H, W)`` in counts of the camera.

    Each plate's grey levels are measured on the images that are given of it.

    Raises:
        InputError: An image has another number of channels or another type, or cannot be used.
    """
    arrays = [_checked(image, number, settings) for number, image in enumerate(images)]
    opened = _open_arrays(arrays)
    files = {channel: number for number, channel in enumerate(settings.channels, start=1)}
    side = settings.preprocess.side
    of_sites = [
        SiteImages(
            row[PLATE], row[WELL], int(row[SITE]),
            {channel: ImageFile(str(place), number) for channel, number in files.items()},
            opened, {}, side,
        )
        for place, row in enumerate(sites.to_dict("records"))
    ]  # fmt: skip
    ranges = {
        str(plate): _ranges([of_sites[place] for place in rows.index], settings)
        for plate, rows in sites.groupby(PLATE)
    }
    preprocess = settings.preprocess.model_copy(update={"thumbnails": 0})
    prepared = prepare_sites(of_sites, ranges, preprocess, ahead=2 * batch_size)
    batches = extract_features(prepared, backbone, batch_size=batch_size, device=device)
    tokens = []
    for batch in batches:
        if unusable := [site for site in batch.sites if site.pixels is None]:
            raise InputError(_why_unusable(unusable[0]))
        tokens += batch.features
    return torch.stack(tokens)


def _checked(image: ArrayLike, number: int, settings: ImageSettings) -> np.ndarray:
    array = np.asarray(image)
    channels = len(settings.channels)
    if array.ndim != 3 or array.shape[0] != channels or array.dtype not in (np.uint8, np.uint16):
        raise InputError(
            f"image {number} has shape {array.shape} and type {array.dtype}; due are ({channels}, "
            f"height, width), channels {', '.join(settings.channels)}, uint8 or uint16 as the "
            "camera counts"
        )
    return array


def _open_arrays(arrays: Sequence[np.ndarray]) -> Callable[[str], Callable[[int], Plane]]:
    def open_file(path: str) -> Callable[[int], Plane]:
        array = arrays[int(path)]
        return lambda number: usable_plane(np.ascontiguousarray(array[number - 1]))

    return open_file


def _ranges(images: list[SiteImages], settings: ImageSettings) -> Mapping[str, GreyRange]:
    listed = pd.DataFrame([(s.plate, s.well, s.site) for s in images], columns=[PLATE, WELL, SITE])
    sampled = set(sample_sites(listed).itertuples(index=False, name=None))
    chosen = [site for site in images if (site.plate, site.well, site.site) in sampled]
    measured = measure_plate(chosen, settings.channels, workers=settings.preprocess.n_workers)
    return {channel: range_of(levels) for channel, levels in measured.items()}


def _why_unusable(site: PreparedSite) -> str:
    channel, finding = next(iter(site.unusable.items()))
    return (
        f"an image cannot be used: plate {site.images.plate}, well {site.images.well}, channel "
        f"{channel}: {finding.reason} ({finding}); leave the site out"
    )
