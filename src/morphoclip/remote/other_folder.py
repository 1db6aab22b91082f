"""A folder of anything that fsspec opens."""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import fsspec

from morphoclip.remote.remote_files import (
    AccessRefused,
    Content,
    Entries,
    Failed,
    FileIsGone,
    RemoteFile,
    first_line,
)


class OtherFolder:
    """A folder of anything that fsspec opens."""

    def __init__(self, url: str, options: Mapping[str, Any]) -> None:
        self.url = url.rstrip("/")
        self._files, root = fsspec.core.url_to_fs(self.url, **options)
        self._root = str(root).rstrip("/")

    def files(self, folder: str) -> Iterator[RemoteFile]:
        """All files in and below a folder of it, as they are listed."""
        place = f"{self._root}/{folder}".rstrip("/")
        with _fsspec_errors():
            found = self._files.find(place, detail=True)
        for path, entry in sorted(found.items()):
            yield self._file(path, entry)

    def entries(self, folder: str = "") -> Entries:
        """What lies directly in a folder of it."""
        place = f"{self._root}/{folder}".rstrip("/")
        with _fsspec_errors():
            if not self._files.isdir(place):
                return Entries([], [])
            found = self._files.ls(place, detail=True)
        named = {str(entry["name"]).rstrip("/"): entry for entry in found}
        folders = [n.rsplit("/", 1)[-1] for n, e in named.items() if e["type"] == "directory"]
        files = [self._file(n, e) for n, e in named.items() if e["type"] == "file"]
        return Entries(sorted(files), sorted(folders))

    def read(self, file: RemoteFile) -> Content:
        """One file, whole; asked for once."""
        with _fsspec_errors():
            return Content(self._files.cat_file(f"{self._root}/{file.path}"), None)

    def _file(self, path: str, entry: Mapping[str, Any]) -> RemoteFile:
        return RemoteFile(path[len(self._root) + 1 :], entry.get("size"), _etag(entry))


@contextmanager
def _fsspec_errors() -> Iterator[None]:
    """The exceptions of fsspec's many kinds in our words."""
    try:
        yield
    except FileNotFoundError as error:
        raise FileIsGone(first_line(error)) from error
    except PermissionError as error:
        raise AccessRefused(first_line(error)) from error
    except Exception as error:  # each kind has its own
        raise Failed(first_line(error)) from error


def _etag(entry: Mapping[str, Any]) -> str | None:
    """What a file system says that changes with a file."""
    for name in ("ETag", "etag", "mtime", "LastModified"):
        if entry.get(name):
            return str(entry[name])
    return None
