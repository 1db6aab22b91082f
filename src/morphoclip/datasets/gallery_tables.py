"""The tables of a gallery in a bucket, and which folders of it hold them."""

from pathlib import Path
from typing import Any, NoReturn

from kedro.io import AbstractDataset, DatasetError

from morphoclip.gallery.fetching import TablePart, Tables
from morphoclip.remote.folders import RemoteFolder


class GalleryTablesDataset(AbstractDataset[NoReturn, Tables]):
    """Loads where a gallery's tables are; nothing is listed before it is asked for.

    Args:
        url: The gallery's root.
        batch: The batch.
        copies: Below this folder copies lie.
        parts: Part -> its ``folders`` in the gallery, and how the names of its files ``end``.
        checksums: Whether ETags are compared with contents.
        fs_args: How the URL is opened.
        metadata: Of the catalog.
    """

    def __init__(
        self,
        *,
        url: str,
        batch: str,
        copies: str,
        parts: dict[str, dict[str, Any]],
        checksums: bool = True,
        fs_args: dict[str, Any] | None = None,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._url, self._batch, self._copies = url, batch, Path(copies)
        self._parts = {name: TablePart(**part) for name, part in parts.items()}
        self._checksums, self._fs_args = checksums, fs_args
        self.metadata = metadata

    def load(self) -> Tables:
        is_here = "://" not in self._url or self._url.startswith("file://")
        if is_here:
            return Tables(None, self._batch, self._parts)
        folder = RemoteFolder(self._url, self._fs_args, self._copies, checksums=self._checksums)
        return Tables(folder, self._batch, self._parts)

    def save(self, data: NoReturn) -> None:  # noqa: ARG002 - Kedro's signature
        raise DatasetError("a gallery is read, not written")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {"url": self._url}
