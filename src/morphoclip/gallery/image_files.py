"""The images of plates on any fsspec path: listed folder by folder, read one by one."""

import errno
import os
from collections.abc import Callable, Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import Any

import fsspec
import pandas as pd
from fsspec.implementations.local import LocalFileSystem

from morphoclip.files import is_special
from morphoclip.imaging.ome_zarr import STORE_SUFFIX, opened_image
from morphoclip.imaging.tiff import OpenFile, Plane, opened_tiffs
from morphoclip.remote.folders import RemoteFolder
from morphoclip.remote.remote_files import content_digest
from morphoclip.remote.stores import options_for


class ImageFiles:
    """Files below a folder or a bucket; nothing is listed before it is asked for.

    Args:
        url: The folder.
        url_options: How fsspec opens URLs; paths of a disk need nothing.
        table: What lists the images, where that is not their names (a LoadData table).
        read_table: Reads a LoadData table, where each plate has one.
        copies: Below this folder lie copies of files of URLs.
        checksums: Whether a bucket's ETags are compared with contents.
    """

    def __init__(
        self,
        url: str,
        url_options: Mapping[str, Any] | None = None,
        table: pd.DataFrame | None = None,
        read_table: Callable[[str], pd.DataFrame] | None = None,
        copies: Path | None = None,
        *,
        checksums: bool = True,
    ) -> None:
        self._url_options = dict(url_options or {})
        self.copies, self._checksums = copies, checksums
        self._filesystem, path = self._opened(url)
        self._root: str = path.rstrip("/")
        is_local = isinstance(self._filesystem, LocalFileSystem)
        self.remote = None if is_local else self._remote(url)
        self._others: dict[str, RemoteFolder] = {}
        self.table, self.read_table = table, read_table
        self.url = url

    def __reduce__(self) -> tuple[Any, ...]:
        """The folder as another process opens it; tables of images stay here."""
        url = self.url if "://" in self.url else self._root
        opened = partial(ImageFiles, copies=self.copies, checksums=self._checksums)
        return opened, (url, self._url_options)

    def afresh(self) -> "ImageFiles":
        """The same folder as its store lists it now, without what lies here."""
        return ImageFiles(self.url, self._url_options, checksums=self._checksums)

    @property
    def name(self) -> str:
        """The folder's own name."""
        return self._root.rsplit("/", 1)[-1]

    def folders(self) -> list[str]:
        """Names of the folders in it, sorted."""
        return self.remote.entries().folders if self.remote else self._here(directories=True)

    def files(self, folder: str | None = None) -> list[str]:
        """Paths of all files in and below a folder, or directly in this one; sorted."""
        if self.remote is not None:
            found = self.remote.entries().files if folder is None else self.remote.listed(folder)
            return sorted(file.path for file in found)
        if folder is None:
            return self._here(directories=False)
        return sorted(path[len(self._root) + 1 :] for path in _below(f"{self._root}/{folder}"))

    def read(self, path: str) -> bytes:
        """The bytes of one file, by its path below the folder, or by a whole path or URL.

        Raises:
            InputError: It is not on this machine, and cannot be read where it is.
            OSError: It is on this machine, and cannot be read.
        """
        if "://" in path and not path.startswith("file://"):
            folder, _, name = path.rpartition("/")
            if folder not in self._others:
                self._others[folder] = self._remote(folder)
            return self._others[folder].read(name)
        if self.remote is not None and not path.startswith(("/", "file://")):
            return self.remote.read(path)
        filesystem, place = self._at(path)
        if is_special(Path(place)) and Path(place).exists():
            raise OSError(errno.EINVAL, "it is a pipe, a socket or a device, not a file")
        content: bytes = filesystem.cat_file(place)
        return content

    def content_of(self, path: str) -> str | None:
        """What changes with a file's content: its MD5; None where that takes more than a look."""
        filesystem, place = self._at(path)
        if isinstance(filesystem, LocalFileSystem):
            try:
                return f"md5:{content_digest(Path(place).read_bytes())}"
            except OSError:
                return None
        known = self.remote.known(path) if self.remote is not None and "://" not in path else None
        return f"md5:{known.md5}" if known is not None and known.md5 else None

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

    def _remote(self, url: str) -> RemoteFolder:
        return RemoteFolder(url, self._url_options, self.copies, checksums=self._checksums)

    def _at(self, path: str) -> tuple[fsspec.AbstractFileSystem, str]:
        if "://" in path or path.startswith("/"):
            return self._opened(path)
        return self._filesystem, f"{self._root}/{path}"

    def _opened(self, url: str) -> tuple[fsspec.AbstractFileSystem, str]:
        filesystem, path = fsspec.core.url_to_fs(url, **options_for(url, self._url_options))
        return filesystem, str(path)

    def _here(self, *, directories: bool) -> list[str]:
        """Names in a folder of this machine; links are followed."""
        if not Path(self._root).is_dir():
            return []
        with os.scandir(self._root) as found:
            return sorted(entry.name for entry in found if _is_folder(entry) == directories)


def _is_folder(entry: os.DirEntry[str]) -> bool:
    try:
        return entry.is_dir()
    except OSError:  # a link to itself
        return False


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
