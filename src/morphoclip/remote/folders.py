"""A folder of a store as this machine knows it: some of it listed, some of it copied."""

from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from morphoclip.remote.copies import Copy
from morphoclip.remote.reading import Reader
from morphoclip.remote.staging import Staging
from morphoclip.remote.stores import Entries, RemoteFile, opened_store

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
        self.copy = Copy(url, copies) if copies is not None else None
        self.ahead: Staging | None = None
        """What is fetched ahead of being read, while it is."""
        self._listed: dict[str, RemoteFile] = {}

    def entries(self) -> Entries:
        """What lies directly in the folder.

        Raises:
            InputError: It cannot be listed.
        """
        table = self.copy.listing(ROOT) if self.copy else None
        if table is None:
            return self._remembered(self.reader.entries())
        assert self.copy is not None
        listed = self.copy.files(ROOT)
        folders = [file.path.rstrip("/") for file in listed if file.path.endswith("/")]
        files = [file for file in listed if not file.path.endswith("/")]
        return self._remembered(Entries(files, folders))

    def files(self, folder: str) -> list[RemoteFile]:
        """All files in and below one of its folders.

        Raises:
            InputError: They cannot be listed.
        """
        is_known = self.copy is not None and self.copy.listing(folder) is not None
        found = self.copy.files(folder) if self.copy and is_known else self.reader.files(folder)
        self._remembered(Entries(found, []))
        return found

    def list_anew(self, part: str, wanted: Iterable[str]) -> list[RemoteFile]:
        """List a folder again, or what lies directly here, and keep what is listed.

        Which files are ``wanted`` is kept, too.
        """
        assert self.copy is not None
        if part == ROOT:
            entries = self.reader.entries()
            folders = [RemoteFile(f"{name}/", None) for name in entries.folders]
            found = [*entries.files, *folders]
        else:
            found = self.reader.files(part)
        self.copy.list_anew(part, found, wanted)
        self._remembered(Entries(found, []))
        return found

    def read(self, path: str) -> bytes:
        """A file, from here where it lies here whole.

        Raises:
            InputError: It cannot be read.
        """
        if self.ahead is not None and self.ahead.expects(path):
            return self.ahead.read(path)
        file = self.known(path)
        if file is not None and self.copy is not None and self.copy.has(file):
            return self.copy.path_of(path).read_bytes()
        return self.reader.read(file or RemoteFile(path, None))

    def known(self, path: str) -> RemoteFile | None:
        """A file as it was listed, here or before."""
        part = part_of(path)
        is_listed = self.copy is not None and self.copy.listing(part) is not None
        if self.copy and is_listed and path not in self._listed:
            self._remembered(Entries(self.copy.files(part), []))
        return self._listed.get(path)

    def _remembered(self, entries: Entries) -> Entries:
        self._listed |= {file.path: file for file in entries.files}
        return entries
