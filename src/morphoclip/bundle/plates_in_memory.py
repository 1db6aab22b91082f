"""Tokens and images that a notebook holds, as the plates that the rest of the project reads."""

import logging
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from morphoclip.backbones.image import ImageBackbone
from morphoclip.bundle.config import ImageSettings
from morphoclip.columns import N_SITES, PLATE, ROLE, SITE, WELL, Role
from morphoclip.errors import InputError
from morphoclip.features.extract import extract_features
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.fingerprint import Fingerprint
from morphoclip.imaging.grey_levels import GreyRange, sample_sites
from morphoclip.imaging.preprocess import (
    ImageFile,
    PreparedSite,
    SiteImages,
    measure_plate,
    prepare_sites,
)
from morphoclip.imaging.tiff import Plane, usable_plane
from morphoclip.loaders import Loaders
from morphoclip.well_names import well_name, well_position

logger = logging.getLogger(__name__)


class MemoryPlates(NamedTuple):
    """Plates by barcode, and their wells with the number of sites."""

    features: Loaders[PlateFeatures]
    well_index: pd.DataFrame


def sites_table(
    n_sites: int,
    wells: Sequence[str],
    plates: str | Sequence[str],
    controls: ArrayLike | None,
) -> pd.DataFrame:
    """Plate, well, site number and role of each site ``(S,)``, in the order given.

    Args:
        n_sites: S.
        wells: Name of each site's well.
        plates: Barcode of each site's plate, or of all.
        controls: Which sites are of negative controls, bool; none by default.

    Raises:
        InputError: The lengths differ, or a name is that of no well.
    """
    all_plates = [plates] * n_sites if isinstance(plates, str) else list(plates)
    mask = np.zeros(n_sites, dtype=bool) if controls is None else np.asarray(controls)
    given = {"wells": len(wells), "plates": len(all_plates), "controls": len(mask)}
    if wrong := [f"{name} has {size}" for name, size in given.items() if size != n_sites]:
        raise InputError(f"there are {n_sites} sites and {wrong[0]} entries: one per site is due")
    if mask.dtype != bool:
        raise InputError("controls has to be true or false for each site")
    names = [well_name(*well_position(str(well))) for well in wells]
    table = pd.DataFrame({PLATE: [str(plate) for plate in all_plates], WELL: names})
    table[SITE] = table.groupby([PLATE, WELL]).cumcount() + 1
    table[ROLE] = np.where(mask, Role.NEGCON, Role.TRT)
    return table


def plates_of_tokens(tokens: Tensor, sites: pd.DataFrame, fingerprint: Fingerprint) -> MemoryPlates:
    """Plates of tokens ``(S, C, D)`` whose sites are the rows of a table."""
    features = {}
    for plate, rows in sites.groupby(PLATE):
        places = list(rows[[WELL, SITE]].itertuples(index=False, name=None))
        of_plate = tokens[torch.from_numpy(rows.index.to_numpy().copy())]
        packed = PlateFeatures.pack(str(plate), places, of_plate, fingerprint)
        features[str(plate)] = partial(_same, packed)
    by_well = sites.groupby([PLATE, WELL], sort=True)
    if sites.drop_duplicates([PLATE, WELL, ROLE]).duplicated([PLATE, WELL]).any():
        raise InputError("some sites of a well are controls and others are not")
    well_index = by_well[ROLE].first().reset_index()
    well_index[N_SITES] = by_well.size().to_numpy()
    return MemoryPlates(features, well_index)


def _same(packed: PlateFeatures) -> PlateFeatures:
    return packed


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
    return {
        channel: GreyRange(levels["p0_1"], levels["p99_9"]) for channel, levels in measured.items()
    }


def _why_unusable(site: PreparedSite) -> str:
    channel, finding = next(iter(site.unusable.items()))
    return (
        f"an image cannot be used: plate {site.images.plate}, well {site.images.well}, channel "
        f"{channel}: {finding.reason} ({finding}); leave the site out"
    )
