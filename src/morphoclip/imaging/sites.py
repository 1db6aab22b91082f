"""Images to sites: which are complete, which are not, which are ambiguous.

A site is one field of view of one well; it is complete when every channel of the mapping has an
image.
"""

from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import NamedTuple

import pandas as pd

from morphoclip.columns import (
    CHANNEL,
    DETAIL,
    ILLUMINATION,
    IMAGE_NUMBER,
    PATH,
    PLATE,
    REASON,
    SITE,
    SOURCE_CHANNEL,
    WELL,
)
from morphoclip.errors import InputError, example_of
from morphoclip.imaging.file_names import Channel
from morphoclip.well_names import well_position


class FoundImage(NamedTuple):
    """One image of a source.

    Attributes:
        plate: Barcode.
        well: Name of the well.
        site: Number of the field.
        channel: What the source calls the channel.
        path: Below the folder of images, or a URL.
        number: Which of the file's images it is; 0 where it has one.
        plane: Height; of several planes the lowest is taken.
        time: Time point.
        illumination: File of its illumination function, where the source names one.
    """

    plate: str
    well: str
    site: int
    channel: Channel
    path: str
    number: int = 0
    plane: int = 1
    time: int = 1
    illumination: str | None = None


class SiteTables(NamedTuple):
    """Images of complete sites, and the sites that are not."""

    site_index: pd.DataFrame
    set_aside: pd.DataFrame


def site_name(well: str, site: int) -> str:
    """The spec's stem of a site's files: ``r01c01f01``."""
    row, col = well_position(well)
    return f"r{row:02d}c{col:02d}f{site:02d}"


def index_plates(
    plates: Iterable[tuple[str, Iterable[FoundImage]]], channels: Mapping[str, Channel]
) -> SiteTables:
    """Sort the images of several plates into complete and incomplete sites.

    Raises:
        InputError: No site of any plate is complete, or as `index_plate` does.
    """
    parts = [index_plate(plate, images, channels) for plate, images in plates]
    complete = pd.concat([part.site_index for part in parts], ignore_index=True)
    incomplete = pd.concat([part.set_aside for part in parts], ignore_index=True)
    if complete.empty:
        first = incomplete.iloc[0]
        raise InputError(
            f"no plate has a complete site: {len(incomplete)} sites lack a channel, e.g. plate "
            f"{first[PLATE]} well {first[WELL]} site {first[SITE]} is {first[DETAIL]}; check "
            "image_features.channels"
        )
    return SiteTables(complete, incomplete)


def index_plate(
    plate: str, images: Iterable[FoundImage], channels: Mapping[str, Channel]
) -> SiteTables:
    """Sort a plate's images into complete and incomplete sites.

    Channels outside the mapping (brightfield) are passed over. Of several planes of one image the
    lowest is taken: CPJUMP1 has one plane, and a second set of files starts at p01 again.

    Args:
        plate: Barcode.
        images: The plate's images.
        channels: Channel names to what the source calls them, in order.

    Raises:
        InputError: Two files claim the same image, there are several time points, or no image is
            of one of the channels.
    """
    name_of = {called: channel for channel, called in channels.items()}
    sites: dict[tuple[str, int], dict[str, FoundImage]] = defaultdict(dict)
    others: dict[Channel, str] = {}
    times: dict[int, str] = {}
    for image in images:
        times.setdefault(image.time, image.path)
        if image.channel not in name_of:
            others.setdefault(image.channel, image.path)
            continue
        _take_lowest_plane(sites[image.well, image.site], name_of[image.channel], image)
    if not sites:
        raise InputError(
            f"plate {plate} holds no image of channels {dict(channels)}: its images are of "
            f"{example_of(others, limit=8)}; set image_features.channels to those"
        )
    if len(times) > 1:
        raise InputError(
            f"plate {plate} has {len(times)} time points, e.g. {example_of(times.values())}; index "
            "one of them: write its number into the pattern ingestion.image_names"
        )
    complete: list[tuple[str, str, int, str, str, str, int, str | None]] = []
    incomplete: list[tuple[str, str, int, str, str]] = []
    for (well, site), taken in sorted(sites.items()):
        missing = [channel for channel in channels if channel not in taken]
        if missing:
            incomplete.append((plate, well, site, "incomplete", f"missing {', '.join(missing)}"))
            continue
        for channel, called in channels.items():
            image = taken[channel]
            place = (image.path, image.number, image.illumination)
            complete.append((plate, well, site, channel, str(called), *place))
    _refuse_shared(plate, complete)
    columns = [PLATE, WELL, SITE, CHANNEL, SOURCE_CHANNEL, PATH, IMAGE_NUMBER, ILLUMINATION]
    return SiteTables(
        pd.DataFrame(complete, columns=columns).astype({ILLUMINATION: "str"}),
        pd.DataFrame(incomplete, columns=[PLATE, WELL, SITE, REASON, DETAIL]),
    )


def _refuse_shared(
    plate: str, images: list[tuple[str, str, int, str, str, str, int, str | None]]
) -> None:
    """One image is one channel of one site."""
    place_of: dict[tuple[str, int], tuple[str, int, str]] = {}
    shared = []
    for _, well, site, channel, _, path, number, _ in images:
        first = place_of.setdefault((path, number), (well, site, channel))
        if first != (well, site, channel):
            shared.append((path, first, (well, site, channel)))
    if shared:
        path, one, other = shared[0]
        said = " and ".join(f"{well} site {site} {channel}" for well, site, channel in (one, other))
        raise InputError(
            f"plate {plate}: {len(shared)} image(s) stand for another channel or site, too, e.g. "
            f"{path} for {said}; name each channel's own file"
        )


def _take_lowest_plane(taken: dict[str, FoundImage], channel: str, image: FoundImage) -> None:
    other = taken.get(channel)
    if other is not None and (other.plane, other.time) == (image.plane, image.time):
        if other.path == image.path:
            raise InputError(
                f"plate {image.plate}: {image.path} is listed twice for well {image.well} site "
                f"{image.site}; keep one row per site"
            )
        raise InputError(
            f"plate {image.plate} has two files for one image: {other.path} and {image.path}; move "
            "one of them elsewhere"
        )
    if other is None or image.plane < other.plane:
        taken[channel] = image
