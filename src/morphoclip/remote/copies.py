"""Files of a store that lie on this machine, too, and what says where each came from."""

from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path

import pandas as pd

from morphoclip.errors import InputError
from morphoclip.files import shown_path, written_whole
from morphoclip.remote.remote_files import RemoteFile

COLUMNS = ("path", "size", "etag", "wanted", "listed")


def place_of(url: str, folder: Path) -> Path:
    """Where files of a URL lie below a folder: ``<folder>/s3/bucket/key``."""
    scheme, _, rest = url.rstrip("/").partition("://")
    parts = [part for part in rest.rpartition("@")[2].split("/") if part not in ("", ".", "..")]
    return Path(folder, scheme.partition("+")[0], *parts)


class Copy:
    """A folder of a store, of which some files were copied.

    What was listed, part by part, lies as tables beside: ``path``, ``size``, ``etag``, whether the
    file was ``wanted``, and when it was ``listed``. A file of this folder counts as the store's
    where a table has it with this size; nothing else in the folder is read or deleted.

    Args:
        url: The store's folder.
        folder: Below it all copies lie.
    """

    def __init__(self, url: str, folder: Path) -> None:
        self.url = url.rstrip("/")
        self.place = place_of(url, folder)
        relative = self.place.relative_to(folder)
        self._tables = folder / "listings" / "-".join(relative.parts)
        self._read: dict[str, pd.DataFrame] = {}

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
                    "--pipeline fetch again; files that lie there are kept"
                ) from error
            self._read[part] = table
        return self._read[part]

    def list_anew(self, part: str, files: Iterable[RemoteFile], wanted: Iterable[str]) -> None:
        """Keep what a store lists of a part now; what has changed there is deleted here."""
        chosen = set(wanted)
        now = datetime.now(UTC).isoformat(timespec="seconds")
        rows = [
            (file.path, file.size, file.etag, file.path in chosen, now)
            for file in sorted(files, key=lambda file: file.path)
        ]
        table = pd.DataFrame(rows, columns=list(COLUMNS))
        table["size"] = table["size"].astype("Int64")
        before = self.listing(part)
        if before is not None:
            both = before.merge(table, on="path", how="left", suffixes=("", "_now"))
            same = (both["etag"].fillna("") == both["etag_now"].fillna("")) & (
                both["size"].fillna(-1) == both["size_now"].fillna(-1)
            )
            self.delete(part, both.loc[~same, "path"])
        with written_whole(self._table_of(part)) as partial:
            table.to_parquet(partial, write_page_checksum=True, index=False)
        self._read[part] = table

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
