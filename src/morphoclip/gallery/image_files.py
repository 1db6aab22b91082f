"""The images of plates on any fsspec path: listed folder by folder, read one by one."""

import os
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any

import fsspec
import pandas as pd
from fsspec.implementations.local import LocalFileSystem

from morphoclip.config import Names
from morphoclip.errors import InputError, example_of
from morphoclip.imaging.file_names import Channel, ImageKey, NamePattern
from morphoclip.imaging.ome_zarr import STORE_SUFFIX, opened_image
from morphoclip.imaging.sites import FoundImage
from morphoclip.imaging.tiff import OpenFile, Plane, UnusablePlane, channels_of, opened_tiffs


class ImageFiles:
    """Files below a folder or a bucket; nothing is listed before it is asked for.

    Args:
        url: The folder.
        url_options: How fsspec opens URLs; paths of a disk need nothing.
        table: What lists the images, where that is not their names (a LoadData table).
        read_table: Reads a LoadData table, where each plate has one.
    """

    def __init__(
        self,
        url: str,
        url_options: Mapping[str, Any] | None = None,
        table: pd.DataFrame | None = None,
        read_table: Callable[[str], pd.DataFrame] | None = None,
    ) -> None:
        self._url_options = dict(url_options or {})
        self._filesystem, path = self._opened(url)
        self._root: str = path.rstrip("/")
        self.table, self.read_table = table, read_table
        self.url = url

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self._root.rsplit("/", 1)[-1]

    def folders(self) -> list[str]:
        """Names of the folders in it, sorted."""
        return [name for name, kind in self._entries() if kind == "directory"]

    def files(self, folder: str | None = None) -> list[str]:
        """Paths of all files in and below a folder, or directly in this one; sorted."""
        if folder is None:
            return [name for name, kind in self._entries() if kind == "file"]
        place = f"{self._root}/{folder}"
        is_local = isinstance(self._filesystem, LocalFileSystem)
        found = _below(place) if is_local else self._filesystem.find(place)
        return sorted(str(path)[len(self._root) + 1 :] for path in found)

    def read(self, path: str) -> bytes:
        """The bytes of one file, by its path below the folder, or by a whole path or URL."""
        filesystem, place = self._at(path)
        content: bytes = filesystem.cat_file(place)
        return content

    def store(self, path: str) -> Any:
        """A folder as Zarr libraries take it, by its path below the folder, or a whole one."""
        filesystem, place = self._at(path)
        return place if isinstance(filesystem, LocalFileSystem) else filesystem.get_mapper(place)

    def images(self, at_least: int | None = None) -> OpenFile:
        """Opens images: TIFFs, and OME-Zarr images at a stored resolution.

        Args:
            at_least: Pixels per side that are wanted of OME-Zarr images; None is all there are.
        """
        open_tiff = opened_tiffs(self.read)

        def open_image(path: str) -> Callable[[int], Plane]:
            if f"{STORE_SUFFIX}/" in self._at(path)[1].lower():
                return opened_image(self.store(path), at_least)
            return open_tiff(path)

        return open_image

    def _at(self, path: str) -> tuple[fsspec.AbstractFileSystem, str]:
        if "://" in path or path.startswith("/"):
            return self._opened(path)
        return self._filesystem, f"{self._root}/{path}"

    def _opened(self, url: str) -> tuple[fsspec.AbstractFileSystem, str]:
        options = self._url_options if "://" in url else {}
        filesystem, path = fsspec.core.url_to_fs(url, **options)
        return filesystem, str(path)

    def _entries(self) -> list[tuple[str, str]]:
        if not self._filesystem.isdir(self._root):
            return []
        if isinstance(self._filesystem, LocalFileSystem):  # links are followed
            with os.scandir(self._root) as found:
                return sorted((e.name, "directory" if e.is_dir() else "file") for e in found)
        entries = self._filesystem.ls(self._root, detail=True)
        return sorted((e["name"].rstrip("/").rsplit("/", 1)[-1], e["type"]) for e in entries)


def _below(folder: str) -> Iterator[str]:
    """All files in and below a folder of this machine; links are followed, in no circles."""
    seen: set[str] = set()
    for place, folders, files in os.walk(folder, followlinks=True):
        real = os.path.realpath(place)
        if real in seen:
            folders.clear()
            continue
        seen.add(real)
        yield from (f"{place}/{name}" for name in files)


class NamedImages:
    """The images of each plate of a folder, told apart by their names.

    Args:
        files: The folder.
        pattern: How images are named.
        channels: Channel names to what names (or, of files that hold several, numbers and OME
            metadata) call them.
        wanted: Barcodes; folders that are known to hold other plates are not listed.

    Raises:
        InputError: Two folders are of one plate.
    """

    def __init__(
        self,
        files: ImageFiles,
        pattern: NamePattern,
        channels: Mapping[str, Channel],
        wanted: Names | None = None,
    ) -> None:
        self._files, self._pattern, self._channels = files, pattern, channels
        self._wanted = wanted
        self._folder_of: dict[str, str] = {}
        self._keys: dict[str, dict[str, ImageKey]] = {}
        self._seen: set[str] = set()
        self.others: list[str] = []
        """Files that have no name of an image."""
        for folder in files.folders():
            plate = pattern.plate_of_folder(folder)
            if plate is None:
                self._sort(files.files(folder))
            elif plate in self._folder_of:
                raise InputError(
                    f"plate {plate} has two folders, {self._folder_of[plate]} and {folder}; move "
                    "the one that is not wanted out of the batch"
                )
            else:
                self._folder_of[plate] = folder
        self._sort(files.files())

    @property
    def plates(self) -> list[str]:
        """Barcodes, sorted.

        Raises:
            InputError: There are files, and not one has the name of an image.
        """
        found = sorted(set(self._folder_of) | self._seen)
        if not found and self.others:
            raise InputError(self._not_named(f"the folder {self._files.name}", self.others))
        return found

    def of(self, plate: str) -> list[FoundImage]:
        """All images of a plate.

        Raises:
            InputError: Its folder holds none.
        """
        if plate in self._folder_of:
            folder = self._folder_of[plate]
            paths = self._files.files(folder)
            if not paths:
                raise InputError(
                    f"plate folder {folder} is empty: download its images again, or leave the "
                    "plate out with ingestion.plates"
                )
            self._sort(paths, plate)
            if plate not in self._keys:
                raise InputError(self._not_named(f"plate folder {folder}", paths))
        found = self._keys[plate]
        if self._pattern.names_channel:
            return [_found(plate, path, key, key.channel, 0) for path, key in found.items()]
        called = self._channels_in(plate, next(iter(found)))
        return [
            _found(plate, path, key, channel, number)
            for path, key in found.items()
            for number, channel in enumerate(called, start=1)
        ]

    def _sort(self, paths: Iterable[str], plate: str | None = None) -> None:
        """Sort paths by plate: the one given, or what each says."""
        for path in paths:
            key = self._pattern.read(path)
            if key is None:
                self.others.append(path)
                continue
            own = plate or key.plate or self._files.name.split("__", 1)[0]
            self._seen.add(own)
            if self._wanted is None or own in self._wanted:
                self._keys.setdefault(own, {})[path] = key

    def _channels_in(self, plate: str, path: str) -> list[Channel]:
        """What the channels of a plate's files are called: as its first file says."""
        try:
            names = channels_of(self._files.read(path))
        except UnusablePlane as finding:
            raise InputError(
                f"the first image of plate {plate}, {path}, cannot be read ({finding}); the "
                "pattern ingestion.image_names has no group channel, so that each file should "
                "hold all channels of its site"
            ) from finding
        if any(isinstance(called, int) for called in self._channels.values()):
            return list(range(1, len(names) + 1))
        return [name or number for number, name in enumerate(names, start=1)]

    def _not_named(self, where: str, paths: list[str]) -> str:
        names = [path.split("/", 1)[-1] for path in paths]
        return (
            f"{where} holds {len(paths)} file(s), none of them named as ingestion.image_names "
            f"({self._pattern.given}) says: {example_of(names)}; it describes names such as "
            f"{self._pattern.example}"
        )


def _found(plate: str, path: str, key: ImageKey, channel: Channel, number: int) -> FoundImage:
    return FoundImage(plate, key.well, key.site, channel, path, number, key.plane, key.time)
