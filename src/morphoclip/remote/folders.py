"""A folder of a store as this machine knows it: some of it listed, some of it copied."""

from collections.abc import Iterable, Mapping
from functools import partial
from pathlib import Path
from typing import Any

from morphoclip.remote.copies import Copy
from morphoclip.remote.reading import Reader
from morphoclip.remote.remote_files import Entries, RemoteFile
from morphoclip.remote.staging import Staging
from morphoclip.remote.stores import opened_store

ROOT = "(all folders)"
"""The part of a copy that lists what lies directly in its folder."""


def part_of(path: str) -> str:
    """The part of a copy that lists a file: its first folder."""
    return path.partition("/")[0] if "/" in path else ROOT


class RemoteFolder:
    """Lists and reads; what was listed before is not listed again, what lies here is read here.

    Args:
        url: The store's folder.
        options: As `opened_store` takes them.
        copies: Below this folder copies lie; None where there are none.
        tries: How often a file is asked for.
        checksums: Whether ETags are compared with contents.
    """

    def __init__(
        self,
        url: str,
        options: Mapping[str, Any] | None = None,
        copies: Path | None = None,
        *,
        tries: int = 8,
        checksums: bool = True,
    ) -> None:
        self.url = url.rstrip("/")
        self.reader = Reader(opened_store(url, options), tries, checksums=checksums)
        endpoint = (options or {}).get("endpoint_url")
        self.copy = Copy(url, copies, endpoint) if copies is not None else None
        """What was fetched of it."""
        self.passing = partial(Copy, url, endpoint=endpoint)
        """What passes through a folder of this machine, as a copy below that folder."""
        self.ahead: Staging | None = None
        """What is fetched ahead of being read, while it is."""
        self._parts: dict[str, list[RemoteFile]] = {}
        self._there: dict[str, RemoteFile] = {}
        self._here: dict[str, dict[str, RemoteFile]] = {}

    def entries(self) -> Entries:
        """What lies directly in the folder.

        Raises:
            InputError: It cannot be listed.
        """
        found = self.listed(ROOT)
        folders = [file.path.rstrip("/") for file in found if file.path.endswith("/")]
        return Entries([file for file in found if not file.path.endswith("/")], folders)

    def listed(self, part: str) -> list[RemoteFile]:
        """A part as its copy lists it, or else as the store does: it is asked once.

        Of what lies directly in the folder, names of folders end with a slash.

        Raises:
            InputError: It cannot be listed.
        """
        if part not in self._parts:
            is_kept = self.copy is not None and self.copy.listing(part) is not None
            self._parts[part] = (
                self.copy.files(part) if self.copy and is_kept else self.listed_now(part)
            )
        return self._parts[part]

    def keep(self, part: str, found: list[RemoteFile], wanted: Iterable[str]) -> None:
        """Keep what was listed of a part, and which files are ``wanted``."""
        assert self.copy is not None
        self.copy.list_anew(part, found, wanted)
        self._parts[part] = found

    def listed_now(self, part: str) -> list[RemoteFile]:
        """A part as its store lists it now; files that do not lie here are read as this says.

        Raises:
            InputError: It cannot be listed.
        """
        found = self._list(part)
        self._there |= {file.path: file for file in found}
        return found

    def read(self, path: str) -> bytes:
        """A file, from here where it lies here whole.

        Raises:
            InputError: It cannot be read.
        """
        if self.ahead is not None and self.ahead.expects(path):
            return self.ahead.read(path)
        file = self.here(path)
        if file is not None and self.copy is not None:
            return self.copy.path_of(path).read_bytes()
        return self.reader.read(self._there.get(path, RemoteFile(path, None)))

    def here(self, path: str) -> RemoteFile | None:
        """A file that lies here as it was listed, or None."""
        part = part_of(path)
        if self.copy is None or self.copy.listing(part) is None:
            return None
        if part not in self._here:
            self._here[part] = {file.path: file for file in self.copy.files(part)}
        file = self._here[part].get(path)
        return file if file is not None and self.copy.has(file) else None

    def known(self, path: str) -> RemoteFile | None:
        """A file as it is read: as it lies here, or else as its store lists it."""
        return self.here(path) or self._there.get(path)

    def _list(self, part: str) -> list[RemoteFile]:
        if part != ROOT:
            return self.reader.files(part)
        entries = self.reader.entries()
        return [*entries.files, *(RemoteFile(f"{name}/", None) for name in entries.folders)]
