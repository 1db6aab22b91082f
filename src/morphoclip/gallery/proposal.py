"""A look at a folder of somebody's images, and a proposal of how to read it."""

import re
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field

import pandas as pd

from morphoclip.columns import PLATE, SITE, WELL
from morphoclip.config import Channels
from morphoclip.errors import InputError, example_of
from morphoclip.gallery.image_files import ImageFiles
from morphoclip.gallery.load_data import ListedImages
from morphoclip.gallery.named_images import NamedImages
from morphoclip.gallery.ome_zarr_plates import ZarrPlates, holds_zarr
from morphoclip.imaging.config import NUCLEAR_STAINS
from morphoclip.imaging.file_names import PRESETS, Channel, ImageKey, NamePattern, is_tiff
from morphoclip.imaging.sites import FoundImage, SiteTables, index_plates
from morphoclip.imaging.tiff import UnusablePlane, channels_of

_SITE_TOKEN = r"(?:s|f|site|field|fov)[ _-]?(?P<site>\d+)"
_CHANNEL_TOKEN = r"(?:ch|w|c|channel|wv)[ _-]?(?P<channel>\d+)"
_WELL_TOKEN = r"(?<![A-Za-z])(?P<well>[A-Z]{1,2}\d{1,2})(?!\d)"
_BETWEEN = r"[^/]*?"
_END = r"[^/]*\.tiff?"
_PLATE_FOLDER = r"(?:(?P<plate>[^/]+)/(?:[^/]+/)*)?"
GUESSES = tuple(
    rf"{_PLATE_FOLDER}(?:[^/]*?[^A-Za-z/])?{_WELL_TOKEN}{tokens}{_END}"
    for tokens in (
        rf"{_BETWEEN}[_ -]{_SITE_TOKEN}{_BETWEEN}[_ -]?{_CHANNEL_TOKEN}",
        rf"{_BETWEEN}[_ -]{_CHANNEL_TOKEN}{_BETWEEN}[_ -]?{_SITE_TOKEN}",
        rf"{_BETWEEN}[_ -]{_CHANNEL_TOKEN}",
        rf"{_BETWEEN}[_ -]{_SITE_TOKEN}",
        "",
    )
)
"""Patterns for names of no known microscope, from the one that says most to the one that says
least; the last two are of files that hold all channels of a site."""

_ENOUGH = 0.9
"""Of the TIFFs; a guess that names fewer is none."""
_BY_LABEL = {"any": "any"}
"""Channels by what the source calls them, whatever that is."""
_SEEN = 64
"""Files of which a few sites are shown."""
_LOOKED_AT = 20_000
"""Files that patterns are tried on."""


@dataclass
class Proposal:
    """How a folder could be read, and what it then holds.

    Attributes:
        image_names: `ingestion.image_names`; None where names are not read.
        road: What the images are, for people.
        channels: Our names to what the source calls channels, in order.
        images: One row per image: plate, well, site, channel of the source.
        sites: Which sites have all of these channels, and which do not.
        not_placed: Files that the proposal does not read.
    """

    image_names: str | None
    road: str
    channels: dict[str, Channel]
    images: pd.DataFrame
    sites: SiteTables
    not_placed: list[str] = field(default_factory=list)

    @property
    def plates(self) -> pd.DataFrame:
        """Wells, sites and incomplete sites of each plate."""
        keys = [PLATE, WELL, SITE]
        complete = self.sites.site_index[keys].drop_duplicates().assign(complete=1)
        incomplete = self.sites.set_aside[keys].assign(complete=0)
        sites = pd.concat([complete, incomplete], ignore_index=True)
        table = sites.groupby(PLATE).agg(
            wells=(WELL, "nunique"), sites=("complete", "size"), complete=("complete", "sum")
        )
        table["incomplete"] = table["sites"] - table["complete"]
        return table.reset_index()


def propose(
    files: ImageFiles,
    image_names: str | None = None,
    channels: Mapping[str, Channel] | None = None,
) -> Proposal:
    """Look at a folder, a LoadData table or OME-Zarr plates.

    Args:
        files: The folder, or the table.
        image_names: A preset or a pattern; guessed by default.
        channels: Names for the channels; guessed by default.

    Raises:
        InputError: There is no image, or none whose name can be read.
    """
    if files.table is not None:
        listed = ListedImages(files.table)
        return _proposal(None, "images that a LoadData table lists", listed, channels)
    if holds_zarr(files):
        zarr = ZarrPlates(files, channels or _BY_LABEL)
        return _proposal(None, "OME-Zarr plates", zarr, channels)
    paths = _some_paths(files)
    tiffs = [path for path in paths if is_tiff(path)]
    if not tiffs:
        endings = Counter(path.rsplit(".", 1)[-1].lower() for path in paths)
        found = ", ".join(f"{n} .{ending}" for ending, n in endings.most_common(4)) or "no file"
        raise InputError(
            f"the folder {files.name} holds no TIFF and no OME-Zarr plate ({found}); other formats "
            "are converted first, as by bioformats2raw to OME-Zarr"
        )
    guessed = image_names is None
    if image_names is None:
        image_names = best_pattern(tiffs, several=len(_channels_of_first(files, tiffs)) > 1)
    images = NamedImages(files, NamePattern(image_names), channels or _BY_LABEL)
    kind = image_names if image_names in PRESETS else "by a pattern"
    road = f"TIFFs named {kind}{', which was guessed' if guessed and kind != image_names else ''}"
    return _proposal(image_names, road, images, channels)


def first_images(files: ImageFiles) -> list[FoundImage]:
    """Some images of the first plate, for a look; nothing else is listed.

    Raises:
        InputError: There is none, or none whose name can be read.
    """
    images: NamedImages | ListedImages | ZarrPlates
    if files.read_table is not None:
        raise InputError("each plate has a LoadData table: ingestion says which")
    if files.table is not None:
        images = ListedImages(files.table)
    elif holds_zarr(files):
        images = ZarrPlates(files, _BY_LABEL)
    else:
        paths = next(
            (found for folder in files.folders() if (found := files.files(folder))), files.files()
        )
        tiffs = [path for path in paths[:_SEEN] if is_tiff(path)]
        if not tiffs:
            raise InputError(f"the folder {files.name} holds no TIFF")
        several = channels_of(files.read(tiffs[0]))
        read = NamePattern(best_pattern(tiffs, several=len(several) > 1)).read
        keys = [(path, key) for path in tiffs if (key := _key(read, path)) is not None]
        return [
            FoundImage(key.plate or "", key.well, key.site, number or key.channel, path, number)
            for path, key in keys
            for number in (range(1, len(several) + 1) if len(several) > 1 else (0,))
        ]
    return images.of(images.plates[0])


def best_pattern(paths: list[str], *, several: bool = False) -> str:
    """A preset or a pattern that tells nearly all of these paths apart.

    Of several such the one by which sites and channels differ most; presets come first.

    Args:
        paths: Of TIFFs, below the folder.
        several: Whether each file holds several channels, so that no name says which.

    Raises:
        InputError: None does.
    """
    candidates = [
        name
        for name in (*PRESETS, *GUESSES)
        if not (several and NamePattern(name).names_channel)
        and _n_told_apart(name, paths) >= _ENOUGH * len(paths)
    ]
    if candidates:
        return max(candidates, key=lambda name: _n_kinds(name, paths))
    closest = max((*PRESETS, *GUESSES), key=lambda name: _n_told_apart(name, paths))
    read = NamePattern(closest).read
    strange = [path for path in paths if _key(read, path) is None] or paths
    raise InputError(
        f"no pattern describes how these {len(paths)} images are named; the closest fails on "
        f"{len(strange)}: {example_of(strange)}. Write one, as docs/your-plates.md says, and give "
        "it with --names"
    )


def _n_kinds(pattern: str, paths: list[str]) -> int:
    """How many combinations of site and channel there are, by a pattern."""
    keys = (_key(NamePattern(pattern).read, path) for path in paths)
    return len({(key.site, key.channel) for key in keys if key is not None})


def _n_told_apart(pattern: str, paths: list[str]) -> int:
    """How many paths have a key of their own, by a pattern."""
    read = NamePattern(pattern).read
    keys = Counter((path.rpartition("/")[0], _key(read, path)) for path in paths)
    return sum(n == 1 and key is not None for (_, key), n in keys.items())


def _key(read: Callable[[str], ImageKey | None], path: str) -> ImageKey | None:
    try:
        return read(path)
    except InputError:  # what stands where the well should is none
        return None


def _channels_of_first(files: ImageFiles, paths: list[str]) -> list[str]:
    try:
        return channels_of(files.read(paths[0]))
    except UnusablePlane:  # reading features will say so
        return [""]


def _some_paths(files: ImageFiles) -> list[str]:
    paths = files.files()
    for folder in files.folders():
        if len(paths) >= _LOOKED_AT:
            break
        paths += files.files(folder)
    return paths[:_LOOKED_AT]


def _proposal(
    image_names: str | None,
    road: str,
    source: NamedImages | ListedImages | ZarrPlates,
    channels: Mapping[str, Channel] | None,
) -> Proposal:
    of_plate = {plate: source.of(plate) for plate in source.plates}
    images = _table([image for found in of_plate.values() for image in found])
    if images.empty:
        raise InputError(f"{road}: there is no image; check the folder")
    called = sorted(images["channel"].unique(), key=lambda value: (isinstance(value, str), value))
    named = dict(channels) if channels else names_for(called)
    sites = index_plates(of_plate.items(), named)  # what ingestion would refuse is said now
    return Proposal(image_names, road, named, images, sites, source.others)


def _table(found: list[FoundImage]) -> pd.DataFrame:
    rows = [(image.plate, image.well, image.site, image.channel) for image in found]
    table = pd.DataFrame(rows, columns=[PLATE, WELL, SITE, "channel"])
    return table.astype({"channel": object})


def names_for(called: list[Channel]) -> Channels:
    """A name for each channel of a source: its own, ``ch2`` for a number, DNA for nuclei."""
    names: dict[str, Channel] = {}
    for channel in called:
        plain = re.sub(r"[^A-Za-z0-9]+", "_", str(channel)).strip("_") or "channel"
        if isinstance(channel, int):
            plain = f"ch{channel}"
        elif (
            set(re.split(r"[^a-z]+", str(channel).lower())) & NUCLEAR_STAINS and "DNA" not in names
        ):
            plain = "DNA"
        names[plain if plain not in names else f"{plain}_{len(names) + 1}"] = channel
    return names


@dataclass(frozen=True)
class Coverage:
    """Which wells are in the images, in the table of wells, or in both.

    Attributes:
        both: Wells with images and a row.
        without_images: Wells of imaged plates that the table names and nobody imaged.
        without_row: Imaged wells that the table does not name.
        plates_without_images: Plates of the table that have no image.
        plates_without_rows: Plates with images that the table does not name.
    """

    both: int
    without_images: list[str]
    without_row: list[str]
    plates_without_images: list[str]
    plates_without_rows: list[str]


def covered(images: pd.DataFrame, wells: pd.DataFrame) -> Coverage:
    """Hold images against a table of wells."""
    imaged = set(images[[PLATE, WELL]].itertuples(index=False, name=None))
    named = set(wells[[PLATE, WELL]].itertuples(index=False, name=None))
    imaged_plates, named_plates = {p for p, _ in imaged}, {p for p, _ in named}
    return Coverage(
        len(imaged & named),
        _places(well for well in named - imaged if well[0] in imaged_plates),
        _places(well for well in imaged - named if well[0] in named_plates),
        sorted(named_plates - imaged_plates),
        sorted(imaged_plates - named_plates),
    )


def _places(wells: Iterable[tuple[str, str]]) -> list[str]:
    return [f"{plate} {well}" for plate, well in sorted(wells)]


def wells_to_fill_in(images: pd.DataFrame) -> pd.DataFrame:
    """A table of wells with a row for every imaged well, to be filled in."""
    places = images[[PLATE, WELL]].drop_duplicates().sort_values([PLATE, WELL], ignore_index=True)
    blank = dict.fromkeys(("perturbation", "control", "concentration", "unit"), "")
    return places.rename(columns={PLATE: "plate", WELL: "well"}).assign(**blank)
