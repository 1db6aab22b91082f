"""Files read whole: what a store cut short or confused is read again, and never passed on."""

from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from typing import NamedTuple, Self, TypeVar

from tenacity import Retrying, retry_if_exception_type, stop_after_attempt, wait_random_exponential

from morphoclip.errors import InputError
from morphoclip.remote.remote_files import (
    AccessRefused,
    Entries,
    Failed,
    FileHasChanged,
    FileIsGone,
    RemoteFile,
    Store,
    content_digest,
)

SECONDS_BETWEEN_TRIES = 0.5, 30.0
"""The longest waits after the first try and after many: they double, and are drawn at random."""


_T = TypeVar("_T")


class Unread(NamedTuple):
    """A file that could not be read, and why."""

    file: RemoteFile
    reason: str


class Reader:
    """Reads the files of a store, each as it was listed.

    Args:
        store: Where they are.
        tries: How often a file is asked for before it counts as unreadable.
        checksums: Whether ETags that look like an MD5 are one of the content.
    """

    def __init__(self, store: Store, tries: int = 8, *, checksums: bool = True) -> None:
        self.store = store
        self._tries = tries
        self._checksums = checksums

    def trying(self, tries: int) -> Self:
        """The same reader with another number of tries."""
        return type(self)(self.store, tries, checksums=self._checksums)

    def read(self, file: RemoteFile) -> bytes:
        """The content of a file, of the size and checksum that its store lists.

        Raises:
            InputError: It cannot be read, with the reason.
        """
        try:
            return self._read(file)
        except (FileIsGone, FileHasChanged, AccessRefused, Failed) as error:
            raise InputError(
                f"{self.store.url}/{file.path} cannot be read: {_reason(error)}"
            ) from error

    def files(self, folder: str) -> list[RemoteFile]:
        """All files in and below a folder of the store.

        Raises:
            InputError: They cannot be listed.
        """
        return self._tried(lambda: list(self.store.files(folder)), folder)

    def entries(self, folder: str = "") -> Entries:
        """What lies directly in a folder of the store.

        Raises:
            InputError: It cannot be listed.
        """
        return self._tried(lambda: self.store.entries(folder), folder)

    def read_all(
        self, files: Iterable[RemoteFile], *, at_once: int
    ) -> Iterator[tuple[RemoteFile, bytes] | Unread]:
        """The contents of many files, each as it comes; those that cannot be read, with the reason.

        At most ``at_once`` contents are held.
        """
        left = iter(files)
        running: dict[Future[bytes], RemoteFile] = {}
        with ThreadPoolExecutor(at_once, thread_name_prefix="reader") as pool:
            try:
                while True:
                    for file in left:
                        running[pool.submit(self._read, file)] = file
                        if len(running) >= at_once:
                            break
                    if not running:
                        return
                    done, _ = wait(running, return_when=FIRST_COMPLETED)
                    for future in done:
                        yield _outcome(running.pop(future), future)
            finally:
                for future in running:
                    future.cancel()

    def _tried(self, listing: Callable[[], _T], folder: str) -> _T:
        try:
            return _again(self._tries)(listing)
        except (FileIsGone, AccessRefused, Failed) as error:
            raise InputError(
                f"{self.store.url}/{folder} cannot be listed: {_reason(error)}"
            ) from error

    def _read(self, file: RemoteFile) -> bytes:
        body: bytes = _again(self._tries)(self._read_once, file)
        return body

    def _read_once(self, file: RemoteFile) -> bytes:
        content = self.store.read(file)
        if file.etag and content.etag and content.etag != file.etag:
            raise FileHasChanged("its ETag is another")
        if file.size is not None and len(content.body) != file.size:
            raise Failed(f"{len(content.body):,} of {file.size:,} bytes came")
        md5 = file._replace(etag=file.etag or content.etag).md5
        if self._checksums and md5 and content_digest(content.body) != md5:
            raise Failed(
                "its content is not what its ETag says; where a bucket encrypts with keys of its "
                "own, ETags are no checksums: set ingestion.source.checksums to false"
            )
        return content.body


def _again(tries: int) -> Retrying:
    first, most = SECONDS_BETWEEN_TRIES
    return Retrying(
        stop=stop_after_attempt(tries),
        wait=wait_random_exponential(multiplier=first, max=most),
        retry=retry_if_exception_type(Failed),
        reraise=True,
    )


def _outcome(file: RemoteFile, future: Future[bytes]) -> tuple[RemoteFile, bytes] | Unread:
    try:
        return file, future.result()
    except (FileIsGone, FileHasChanged, AccessRefused, Failed) as error:
        return Unread(file, _reason(error))


def _reason(error: Exception) -> str:
    match error:
        case FileIsGone():
            return "it is listed and no longer there"
        case FileHasChanged():
            return "it has changed since it was listed"
        case AccessRefused():
            return f"access is refused ({error})"
        case _:
            return str(error)
