"""How microscopes name their images: patterns over the path below the folder of images."""

import re
from functools import lru_cache
from typing import NamedTuple

from morphoclip.errors import InputError, example_of
from morphoclip.well_names import plate_name, well_name, well_position

PRESETS = {
    "opera_phenix": (
        r"(?:(?P<plate>(?!Images/)[^/]+?)(?:__[^/]*)?/)?(?:Images/)?"
        r"r(?P<row>\d{2})c(?P<column>\d{2})f(?P<site>\d{2,3})p(?P<plane>\d{2,3})"
        r"-ch(?P<channel>\d{1,2})sk(?P<time>\d+)fk\d+fl\d+\.tiff?"
    ),
    "imagexpress": (
        r"(?:(?P<plate>(?!TimePoint_|ZStep_)[^/]+)/)?(?:TimePoint_(?P<time>\d+)/)?"
        r"(?:ZStep_(?P<plane>\d+)/)?(?:[^/]*?_)?(?P<well>[A-Z]{1,2}\d{1,2})(?:_s(?P<site>\d+))?"
        r"(?:_w(?P<channel>\d{1,2}?))?(?:[0-9A-F]{8}-[0-9A-F-]+)?\.tiff?"
    ),
    "cellvoyager": (
        r"(?:(?P<plate>[^/]+)/)?(?:[^/]*_)?(?P<well>[A-Z]{1,2}\d{1,2})_T(?P<time>\d+)"
        r"F(?P<site>\d+)L\d+A\d+Z(?P<plane>\d+)C(?P<channel>\d+)\.tiff?"
    ),
    "incell": (
        r"(?:(?P<plate>[^/]+)/)?(?P<row>[A-Z]{1,2}) ?- ?(?P<column>\d{1,2})"
        r"\((?:fld (?P<site>\d+) )?wv (?P<channel>[^()]+?)(?: z (?P<plane>\d+))?"
        r"(?: time (?P<time>\d+))?\)\.tiff?"
    ),
}
"""Opera Phenix and Operetta, ImageXpress, CellVoyager CV7000 and CV8000, INCell."""

EXAMPLES = {
    "opera_phenix": "BR00117010__x-Measurement1/Images/r01c01f01p01-ch1sk1fk1fl1.tiff",
    "imagexpress": "Plate1/TimePoint_1/Experiment_A01_s1_w1.tif",
    "cellvoyager": "Plate1/Plate1_A01_T0001F001L01A01Z01C01.tif",
    "incell": "Plate1/A - 01(fld 1 wv DAPI - DAPI).tif",
}
"""A path that each preset describes."""

_GROUPS = ("plate", "well", "row", "column", "site", "channel", "plane", "time")

Channel = int | str
"""What a name calls a channel: a number, or a word such as ``DAPI - DAPI``."""


def is_tiff(path: str) -> bool:
    """Whether a path is of an image: no microscope's thumbnail, no system's hidden file."""
    name = path.rsplit("/", 1)[-1].lower()
    return name.endswith((".tif", ".tiff")) and not _is_hidden(path) and "_thumb" not in name


def _is_hidden(path: str) -> bool:
    return path.rsplit("/", 1)[-1].startswith(".")


class ImageKey(NamedTuple):
    """What a path says of an image; the plate is None where it says none."""

    plate: str | None
    well: str
    site: int
    channel: Channel
    plane: int
    time: int


class NamePattern:
    """A preset's name, or a regular expression with named groups.

    It describes the end of a path, whole parts or all of it, in any case. ``well``, or ``row`` and
    ``column``, is needed; ``plate``, ``site``, ``channel``, ``plane`` and ``time`` may be named.
    Without a group ``plate`` the plate is the first folder, and without ``channel`` each file holds
    all channels of its site.

    Raises:
        InputError: It is no regular expression, or lacks a group, or names another.
    """

    def __init__(self, given: str) -> None:
        self.given = given
        pattern = PRESETS.get(given, given)
        try:
            self._path = re.compile(rf"(?:.*?/)??(?:{pattern})", flags=re.IGNORECASE)
        except re.error as error:
            raise InputError(
                f"{_CALLED} {given!r} is no regular expression ({error}), and no preset: there are "
                f"{', '.join(PRESETS)}"
            ) from error
        groups = set(self._path.groupindex)
        strange = sorted(groups - set(_GROUPS))
        if strange:
            raise InputError(
                f"{_CALLED} {given!r} has the group(s) {example_of(strange)}; groups are "
                f"{', '.join(_GROUPS)}, as in (?P<well>[A-P]\\d\\d)"
            )
        if "well" not in groups and not {"row", "column"} <= groups:
            raise InputError(
                f"{_CALLED} {given!r} does not say where the well is: write (?P<well>...), or "
                f"(?P<row>...) and (?P<column>...); or name a preset: {', '.join(PRESETS)}"
            )
        self._names_plate = "plate" in groups
        self.names_channel = "channel" in groups

    @property
    def example(self) -> str:
        """What it describes, for people."""
        return EXAMPLES.get(self.given, self.given)

    def plate_of_folder(self, folder: str) -> str | None:
        """The plate of all images below a first folder; None where only their paths say."""
        if self.given == "opera_phenix":
            return plate_name(folder.split("__", 1)[0])
        return None if self._names_plate else plate_name(folder)

    def read(self, path: str) -> ImageKey | None:
        """What a path below the folder of images says; None where it is no image's.

        Raises:
            InputError: What stands where the well should is none.
        """
        match = None if _is_hidden(path) else self._path.fullmatch(path)
        if match is None:
            return None
        found = {name: text for name, text in match.groupdict().items() if text is not None}
        plate = found.get("plate")
        if plate is None and not self._names_plate and "/" in path:
            plate = path.split("/", 1)[0]
        try:
            well = _well(found["well"]) if "well" in found else _well_at(found)
        except InputError as error:
            raise InputError(f"{_CALLED}, in {path}: {error}") from error
        return ImageKey(
            plate=plate_name(plate) if plate is not None else None,
            well=well,
            site=_number(found, "site", path),
            channel=channel_key(found.get("channel", "1")),
            plane=_number(found, "plane", path),
            time=_number(found, "time", path),
        )


_CALLED = "ingestion.image_names"


def channel_key(text: str) -> Channel:
    """A channel's number or name as a name gives it: ``"01"`` is 1."""
    return int(text) if text.isdecimal() else text


@lru_cache(maxsize=4096)
def _well(text: str) -> str:
    return well_name(*well_position(text))


def _well_at(found: dict[str, str]) -> str:
    row = found["row"]
    return (
        well_name(int(row), int(found["column"]))
        if row.isdecimal()
        else _well(row + found["column"])
    )


def _number(found: dict[str, str], group: str, path: str) -> int:
    text = found.get(group, "1")
    if not text.isdecimal():
        raise InputError(
            f"{_CALLED}: the group {group} holds {text!r} in {path}; it has to be a number"
        )
    return int(text)
