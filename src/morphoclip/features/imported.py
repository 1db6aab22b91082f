"""Per-site features of the reference implementation, packed as ours."""

import logging
import re
from collections.abc import Iterator, Mapping
from typing import Any

import torch
from pydantic import Field

from morphoclip.config import Channels, Config
from morphoclip.errors import InputError, example_of
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.loaders import Loaders
from morphoclip.well_names import well_name

logger = logging.getLogger(__name__)

_STEM = re.compile(r"r(\d+)c(\d+)f(\d+)")


class ImportConfig(Config):
    """``params:import_features``."""

    path: str | None = Field(None, description="Folder with <barcode>/r01c01f01.pt files.")
    note: str = Field("imported per-site features", description="The fingerprint's `model`.")


def pack_imported(
    sites: Loaders[Any], channels: Channels, config: ImportConfig
) -> Iterator[PlateFeatures]:
    """Pack ``<barcode>/r01c01f01`` tensors plate by plate, in order of wells.

    Files that hold a slice of a whole batch shrink to their own numbers.

    Raises:
        InputError: There is no file, a name is none of a site, or a file holds something else.
    """
    if config.path is None or not sites:
        raise InputError(
            "import_features.path names no folder with features: give one that holds "
            "<barcode>/r01c01f01.pt, as in --params import_features.path:/data/features"
        )
    by_plate: dict[str, dict[tuple[int, int, int], str]] = {}
    for key in sites:
        plate, _, stem = key.rpartition("/")
        match = _STEM.fullmatch(stem)
        if match is None or not plate:
            raise InputError(f"{key}.pt is no site's file: names read <barcode>/r01c01f01.pt")
        row, col, site = map(int, match.groups())
        by_plate.setdefault(plate, {})[row, col, site] = key
    for plate, keys in sorted(by_plate.items()):
        loaded = {place: sites[key]() for place, key in sorted(keys.items())}
        _refuse_odd_shapes(plate, loaded, len(channels))
        fingerprint = {
            "model": config.note,
            "channels": "+".join(f"{name}={number}" for name, number in channels.items()),
        }
        wells = [(well_name(row, col), site) for row, col, site in loaded]
        yield PlateFeatures.pack(plate, wells, torch.stack(list(loaded.values())), fingerprint)
        logger.info("plate %s: %d sites packed", plate, len(loaded))


def _refuse_odd_shapes(plate: str, loaded: Mapping[Any, Any], n_channels: int) -> None:
    shapes = {tuple(tokens.shape) for tokens in loaded.values() if isinstance(tokens, torch.Tensor)}
    tensors = all(isinstance(tokens, torch.Tensor) for tokens in loaded.values())
    if not tensors or len(shapes) != 1 or len(next(iter(shapes))) != 2:
        raise InputError(
            f"the files of plate {plate} are not tensors of one shape (channels, dimensions): "
            f"{example_of(sorted(shapes)) or 'no tensor'}"
        )
    if next(iter(shapes))[0] != n_channels:
        raise InputError(
            f"the files of plate {plate} have {next(iter(shapes))[0]} channels and "
            f"image_features.channels names {n_channels}"
        )
