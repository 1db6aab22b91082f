"""Files of a store that lie on this machine, too, and what says where each came from."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from morphoclip.errors import InputError
from morphoclip.files import shown_path, written_whole
from morphoclip.remote.remote_files import RemoteFile, content_digest

COLUMNS = ("path", "size", "etag", "wanted", "listed")


def place_of(url: str, folder: Path, endpoint: str | None = None) -> Path:
    """Where files of a URL lie below a folder: ``<folder>/s3/bucket/key``.

    Those of a store at an address of its own, an ``endpoint``, lie below this address.
    """
    scheme, _, rest = url.rstrip("/").partition("://")
    server = [] if endpoint is None else [_plain(endpoint).replace("/", "-").replace(":", "-")]
    parts = [part for part in _plain(rest).split("/") if part not in ("", ".", "..")]
    return Path(folder, scheme.partition("+")[0], *server, *parts)


def _plain(address: str) -> str:
    """An address without its scheme, user and password."""
    return address.rpartition("://")[2].rpartition("@")[2].rstrip("/")


class Copy:
    """A folder of a store, of which some files were copied.

    What was listed, part by part, lies as tables beside: ``path``, ``size``, ``etag``, whether the
    file was ``wanted``, and when it was ``listed``. A file of this folder counts as the store's
    where a table has it with this size. Nothing else in the folder is read; nothing else is deleted
    but files at the places of a first listing that have not the store's content.

    Args:
        url: The store's folder.
        folder: Below it all copies lie.
        endpoint: Of a store that is not the provider's own.
    """

    def __init__(self, url: str, folder: Path, endpoint: str | None = None) -> None:
        self.url = url.rstrip("/")
        self.place = place_of(url, folder, endpoint)
        self._tables = folder / "listings" / self.place.relative_to(folder)
        self._read: dict[str, pd.DataFrame] = {}
        self._entries: dict[str, set[RemoteFile]] = {}

    def path_of(self, path: str) -> Path:
        """Where a file of the store lies here, whether it does or not.

        Raises:
            InputError: The name leads out of the folder.
        """
        place = self.place.joinpath(path)
        if ".." in Path(path).parts or not place.is_relative_to(self.place):
            raise InputError(f"{self.url} lists {path!r}, which is no name of a file in a folder")
        return place

    def listing(self, part: str) -> pd.DataFrame | None:
        """What was listed of a part; None where it was not.

        Raises:
            InputError: The table is damaged.
        """
        if part not in self._read:
            place = self._table_of(part)
            if not place.exists():
                return None
            try:
                table = pd.read_parquet(place, page_checksum_verification=True)
            except Exception as error:  # damaged Parquet fails in many ways; all mean one thing
                raise InputError(
                    f"{shown_path(place)} is damaged ({error}): delete it and run kedro run "
                    "--pipeline fetch again; files that lie there are kept where their content is "
                    "that of the store"
                ) from error
            self._read[part] = table
        return self._read[part]

    def list_anew(self, part: str, files: Iterable[RemoteFile], wanted: Iterable[str]) -> None:
        """Keep what a store lists of a part now; what is another file there is deleted here."""
        chosen = set(wanted)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        found = sorted(files, key=lambda file: file.path)
        rows = [(file.path, file.size, file.etag, file.path in chosen, now) for file in found]
        table = pd.DataFrame(rows, columns=list(COLUMNS))
        table["size"] = table["size"].astype("Int64")
        before = self.listing(part)
        if before is not None:
            after = {file.path: file for file in found}
            changed = [file.path for file in _files_of(before) if after.get(file.path) != file]
            self.delete(part, changed)
        else:  # of files that somebody put there nothing is known
            for file in found:
                if self.has(file) and not self._is_of(file):
                    self.path_of(file.path).unlink()
        with written_whole(self._table_of(part)) as partial:
            table.to_parquet(partial, write_page_checksum=True, index=False)
        self._read[part] = table
        self._entries.pop(part, None)

    def is_current(self, part: str, file: RemoteFile) -> bool:
        """Whether a file lies here as its store lists it now, which may be anew."""
        return file in self._as_listed(part) and self.has(file)

    def _as_listed(self, part: str) -> set[RemoteFile]:
        if part not in self._entries:
            self._entries[part] = set(self.files(part))
        return self._entries[part]

    def _is_of(self, file: RemoteFile) -> bool:
        """Whether what lies here is known to have the file's content."""
        return file.md5 is not None and file.md5 == content_digest(
            self.path_of(file.path).read_bytes()
        )

    def files(self, part: str) -> list[RemoteFile]:
        """The files that were listed of a part."""
        table = self.listing(part)
        return [] if table is None else [*_files_of(table)]

    def wanted(self, part: str) -> list[RemoteFile]:
        """The files that a part is to hold."""
        table = self.listing(part)
        return [] if table is None else [*_files_of(table[table["wanted"].astype(bool)])]

    def is_whole(self, part: str) -> bool:
        """Whether a part was listed, and every wanted file of it lies here."""
        return self.listing(part) is not None and all(map(self.has, self.wanted(part)))

    def has(self, file: RemoteFile) -> bool:
        """Whether a listed file lies here, whole."""
        place = self.path_of(file.path)
        if not place.is_file():
            return False
        return file.size is None or place.stat().st_size == file.size

    def add(self, file: RemoteFile, content: bytes) -> None:
        """Write a file, whole or not at all."""
        with written_whole(self.path_of(file.path)) as partial:
            partial.write_bytes(content)

    def delete(self, part: str, paths: Iterable[str]) -> int:
        """Delete files that a part lists, and nothing else; how many there were."""
        table = self.listing(part)
        listed = set() if table is None else set(table["path"])
        n_deleted = 0
        for path in paths:
            place = self.path_of(path)
            if path in listed and place.is_file():
                place.unlink()
                n_deleted += 1
        return n_deleted

    def _table_of(self, part: str) -> Path:
        return self._tables / f"{part.replace('/', '-')}.parquet"


def _files_of(table: pd.DataFrame) -> Iterable[RemoteFile]:
    for path, size, etag in table[["path", "size", "etag"]].itertuples(index=False, name=None):
        yield RemoteFile(
            str(path), None if pd.isna(size) else int(size), None if pd.isna(etag) else str(etag)
        )
