"""A file on another machine, and what a store of such files can do or fail to."""

import hashlib
import re
from collections.abc import Iterator
from typing import NamedTuple, Protocol

_MD5 = re.compile(r"[0-9a-f]{32}")


class RemoteFile(NamedTuple):
    """A file as its store lists it.

    Attributes:
        path: Below the store's folder.
        size: Bytes; None where the store does not say.
        etag: What changes when the file does; None where the store has no such thing.
    """

    path: str
    size: int | None
    etag: str | None = None

    @property
    def md5(self) -> str | None:
        """The MD5 that an S3 store gives as the ETag of what was uploaded in one part."""
        plain = (self.etag or "").strip('"')
        return plain if _MD5.fullmatch(plain) else None


class Entries(NamedTuple):
    """What lies directly in a folder: files, and names of folders; both sorted."""

    files: list[RemoteFile]
    folders: list[str]


class Content(NamedTuple):
    """A file that was read, as its store described it then."""

    body: bytes
    etag: str | None


class FileIsGone(Exception):
    """The store has no such file any more."""


class FileHasChanged(Exception):
    """The store has another file of this name than it listed."""


class AccessRefused(Exception):
    """The store does not let us read it."""


class Failed(Exception):
    """The store, or the way to it, failed this time: another try may succeed."""


class Store(Protocol):
    """A folder of files on another machine."""

    url: str

    def files(self, folder: str) -> Iterator[RemoteFile]:
        """All files in and below a folder of it."""

    def entries(self, folder: str = "") -> Entries:
        """What lies directly in a folder of it."""

    def read(self, file: RemoteFile) -> Content:
        """One file, whole.

        Raises:
            FileIsGone: It is not there.
            FileHasChanged: It is another one.
            AccessRefused: It must not be read.
            Failed: This time.
        """


def content_digest(body: bytes) -> str:
    """MD5 of a file's content, which is what S3 tells of one."""
    return hashlib.md5(body, usedforsecurity=False).hexdigest()


def first_line(error: BaseException) -> str:
    """What an error says, in one line."""
    text = next((line.strip() for line in str(error).splitlines() if line.strip()), "")
    return text or type(error).__name__
