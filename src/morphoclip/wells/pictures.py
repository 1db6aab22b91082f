"""Small pictures of wells' sites, and of a negative control to hold beside each."""

from collections import defaultdict
from collections.abc import Mapping
from functools import cached_property

import pandas as pd

from morphoclip.columns import PLATE, ROLE, WELL, Role
from morphoclip.imaging.sites import site_name
from morphoclip.imaging.thumbnails import composite, decode_strip, encode_picture
from morphoclip.loaders import Loaders


class WellPictures:
    """Pictures by well.

    Args:
        strips: Strips of sites by ``<plate>/r01c01f01``; {} where none were kept.
        wells: Plate, well and role of each well.
        channels: Names of the channels in a strip, in order.
    """

    def __init__(
        self, strips: Loaders[bytes], wells: pd.DataFrame, channels: tuple[str, ...]
    ) -> None:
        self.strips, self.channels = strips, channels
        self._wells = wells[[PLATE, WELL, ROLE]]

    @cached_property
    def _keys(self) -> Mapping[tuple[str, str], list[str]]:
        """Keys of the strips of each well, by plate and ``r01c01``."""
        found: dict[tuple[str, str], list[str]] = defaultdict(list)
        for key in sorted(self.strips):
            plate, _, name = key.rpartition("/")
            found[plate, name[:6]].append(key)
        return found

    @cached_property
    def _controls(self) -> Mapping[str, list[str]]:
        """The negative controls of each plate."""
        negcon = self._wells[self._wells[ROLE] == Role.NEGCON]
        return negcon.groupby(PLATE)[WELL].agg(sorted).to_dict()

    def of(self, plate: str, well: str) -> list[str]:
        """Keys of the strips of a well's sites."""
        return self._keys.get((plate, site_name(well, 1)[:6]), [])

    def control_beside(self, plate: str, well: str) -> str | None:
        """A negative control of the same plate with a picture, always the same for a well."""
        controls = [name for name in self._controls.get(plate, []) if name != well]
        shown = [name for name in controls if self.of(plate, name)]
        return shown[sum(map(ord, well)) % len(shown)] if shown else None

    def first_shown(self, wells: pd.DataFrame) -> tuple[str, str] | None:
        """Plate and well of the first of these that has a picture."""
        places = zip(wells[PLATE], wells[WELL], strict=True)
        return next((place for place in places if self.of(*place)), None)

    def picture(self, key: str, channel: str) -> bytes | None:
        """One channel of a site, or all of them in colours (``composite``); None for no channel.

        Raises:
            ValueError: The strip is damaged, or has other channels.
        """
        if channel != "composite" and channel not in self.channels:
            return None
        tiles = decode_strip(self.strips[key]())
        if len(tiles) != len(self.channels):
            raise ValueError(f"{len(tiles)} channels in a picture of {len(self.channels)}")
        if channel == "composite":
            return encode_picture(composite(tiles, self.channels))
        return encode_picture(tiles[self.channels.index(channel)])
