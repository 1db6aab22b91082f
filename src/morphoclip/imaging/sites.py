"""File names to sites: which are complete, which are not, which are ambiguous.

A site is one field of view of one well; it is complete when every channel of the mapping has an
image. Names follow the Opera Phenix: ``r{row}c{col}f{field}p{plane}-ch{channel}sk1fk1fl1.tiff``.
"""

import re
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple, Protocol

import pandas as pd

from morphoclip.columns import (
    CHANNEL,
    DETAIL,
    FILE,
    FOLDER,
    PLATE,
    REASON,
    SITE,
    WELL,
)
from morphoclip.errors import InputError
from morphoclip.well_names import well_name, well_position

_NAME = re.compile(
    r"r(?P<row>\d{2})c(?P<col>\d{2})f(?P<field>\d{2,3})p(?P<plane>\d{2,3})"
    r"-ch(?P<channel>\d{1,2})sk\d+fk\d+fl\d+\.tiff?",
    flags=re.IGNORECASE,
)


class ImageKey(NamedTuple):
    """What an image's name says."""

    row: int
    col: int
    field: int
    plane: int
    channel: int

    @property
    def site(self) -> tuple[str, int]:
        """Well name and field."""
        return well_name(self.row, self.col), self.field


class SiteTables(NamedTuple):
    """Images of complete sites, and the sites that are not."""

    site_index: pd.DataFrame
    set_aside: pd.DataFrame


def site_name(well: str, site: int) -> str:
    """The spec's stem of a site's files: ``r01c01f01``."""
    row, col = well_position(well)
    return f"r{row:02d}c{col:02d}f{site:02d}"


def parse_image_name(name: str) -> ImageKey | None:
    """The key of an image, or None where the name is none of an image."""
    match = _NAME.fullmatch(name)
    return ImageKey(*(int(part) for part in match.groups())) if match else None


class ImageFolder(Protocol):
    """A plate's folder: its barcode, its name, the names of its files."""

    @property
    def barcode(self) -> str: ...  # noqa: D102
    @property
    def name(self) -> str: ...  # noqa: D102
    def image_names(self) -> list[str]: ...  # noqa: D102


def index_plates(folders: Iterable[ImageFolder], channels: Mapping[str, int]) -> SiteTables:
    """Sort the files of several plates into complete and incomplete sites.

    Raises:
        InputError: No site of any plate is complete, or as `index_plate` does.
    """
    parts = [index_plate(f.barcode, f.name, f.image_names(), channels) for f in folders]
    complete = pd.concat([part.site_index for part in parts], ignore_index=True)
    incomplete = pd.concat([part.set_aside for part in parts], ignore_index=True)
    if complete.empty:
        first = incomplete.iloc[0]
        raise InputError(
            f"no plate has a complete site: {len(incomplete)} sites lack a channel, e.g. plate "
            f"{first[PLATE]} well {first[WELL]} site {first[SITE]} is {first[DETAIL]}; check the "
            "numbers in image_features.channels"
        )
    return SiteTables(complete, incomplete)


def index_plate(
    plate: str, folder: str, names: Iterable[str], channels: Mapping[str, int]
) -> SiteTables:
    """Sort a plate's files into complete and incomplete sites.

    Channels outside the mapping (brightfield) are passed over. Of several planes of one image the
    lowest is taken: CPJUMP1 has one plane, and a second set of files starts at p01 again.

    Args:
        plate: Barcode.
        folder: The plate folder's name.
        names: File names below ``Images/``.
        channels: Channel names to the numbers in file names, in order.

    Raises:
        InputError: Two files claim the same image, or no name is that of an image.
    """
    number_to_channel = {number: channel for channel, number in channels.items()}
    sites: dict[tuple[str, int], dict[str, tuple[int, str]]] = defaultdict(dict)
    for name in names:
        key = parse_image_name(name)
        if key is None or key.channel not in number_to_channel:
            continue
        _take_lowest_plane(sites[key.site], number_to_channel[key.channel], key.plane, name, folder)
    if not sites:
        raise InputError(
            f"plate folder {folder} holds no image of channels {dict(channels)}: names read "
            "r01c01f01p01-ch1sk1fk1fl1.tiff; check image_features.channels"
        )
    complete: list[tuple[str, str, str, int, str, str]] = []
    incomplete: list[tuple[str, str, int, str, str]] = []
    for (well, site), images in sorted(sites.items()):
        missing = [channel for channel in channels if channel not in images]
        if missing:
            incomplete.append((plate, well, site, "incomplete", f"missing {', '.join(missing)}"))
            continue
        complete.extend((plate, folder, well, site, c, images[c][1]) for c in channels)
    return SiteTables(
        pd.DataFrame(complete, columns=[PLATE, FOLDER, WELL, SITE, CHANNEL, FILE]),
        pd.DataFrame(incomplete, columns=[PLATE, WELL, SITE, REASON, DETAIL]),
    )


def _take_lowest_plane(
    images: dict[str, tuple[int, str]], channel: str, plane: int, name: str, folder: str
) -> None:
    taken = images.get(channel)
    if taken is not None and taken[0] == plane:
        raise InputError(
            f"plate folder {folder} has two files for one image: {taken[1]} and {name}; "
            "move one of them out of Images/"
        )
    if taken is None or plane < taken[0]:
        images[channel] = (plane, name)
