"""Files of a store fetched ahead of being read: to this machine's disk, or to its memory."""

import threading
from collections.abc import Collection, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import NamedTuple

from morphoclip.errors import InputError
from morphoclip.files import PARTIAL, remove_leftovers
from morphoclip.remote.copies import Copy
from morphoclip.remote.reading import Reader
from morphoclip.remote.remote_files import RemoteFile

_ASSUMED = 10**7
"""Bytes of a file whose store does not say how large it is, until it has come."""


class Room(NamedTuple):
    """How many bytes may be held; None has no bound.

    It is ``of_disk``, or else of memory: files that go to the other take none of it.
    """

    most: int | None
    of_disk: bool


class Staging:
    """Fetches files in order, many at once, as far ahead as there is room.

    Files that go to the disk take room until they are discarded, the others until they are read.

    Args:
        reader: Reads the store's files.
        copy: Where files of the store lie on the disk.
        order: What is going to be read, in about this order.
        on_disk: Paths of the files that go to the disk.
        at_once: Files that are asked for at once.
        room: For files that were fetched and are not done with.
        others: Files that are not fetched, and take room where they lie on the disk.
    """

    def __init__(
        self,
        reader: Reader,
        copy: Copy,
        order: Iterable[RemoteFile],
        *,
        on_disk: Collection[str],
        at_once: int,
        room: Room,
        others: Iterable[RemoteFile] = (),
    ) -> None:
        self._reader, self._copy, self._on_disk = reader, copy, on_disk
        self._order = list(order)
        self._others = {file.path: file for file in others}
        self._place = {file.path: place for place, file in enumerate(self._order)}
        self._most, self._bounds_disk = room
        self._at_once = at_once
        self._coming: dict[str, Future[bytes | None]] = {}
        self._taken: set[str] = set()
        self._room = threading.Condition()
        self._held: dict[str, int] = {}
        self._n_held = 0
        self._waiting: int | None = None
        self._next = 0
        self._ended = False
        self.most_held = 0
        """The most bytes that were held, or on their way."""

    @contextmanager
    def running(self) -> Iterator["Staging"]:
        """Fetch until the block ends."""
        remove_leftovers(self._copy.place.rglob(f".*{PARTIAL}"))
        for file in {**self._others, **dict(zip(self._place, self._order, strict=True))}.values():
            if file.path in self._on_disk and self._copy.has(file):
                self._hold(file)
        with ThreadPoolExecutor(self._at_once, thread_name_prefix="fetch") as pool:
            scheduler = threading.Thread(target=self._schedule, args=(pool,), daemon=True)
            scheduler.start()
            try:
                yield self
            finally:
                with self._room:
                    self._ended = True
                    self._room.notify_all()
                scheduler.join()
                for future in self._coming.values():
                    future.cancel()

    def expects(self, path: str) -> bool:
        """Whether a file is among those that are fetched ahead."""
        return path in self._place and path not in self._taken

    def read(self, path: str) -> bytes:
        """A file; waits for it where it is on its way, and fetches it where it is not yet.

        Raises:
            InputError: It cannot be read, or there is no room for it.
        """
        return self._from_disk(path) if path in self._on_disk else self._from_memory(path)

    def _from_memory(self, path: str) -> bytes:
        with self._room:
            future = self._coming.get(path)
            self._taken.add(path)
        content = future.result() if future is not None else None
        self._release([path])
        return self._reader.read(self._order[self._place[path]]) if content is None else content

    def _from_disk(self, path: str) -> bytes:
        place = self._place[path]
        file = self._order[place]
        if not self._copy.has(file):
            with self._room:
                self._room.wait_for(lambda: path in self._coming or self._is_passed_over(place))
                future = self._coming.get(path)
                is_past = future is None and self._next > place
            if is_past:  # it lay here when its turn came
                return self._reader.read(file)
            if future is None:
                raise InputError(
                    f"there is no room for {path}: fetch.max_disk is {(self._most or 0) / 1e9:.2f} "
                    f"GB, and files that were fetched before take {self._n_held / 1e9:.2f}; raise "
                    "it, or delete the copies below 01_raw/passing"
                )
            future.result()
        try:
            return self._copy.path_of(path).read_bytes()
        except FileNotFoundError:  # somebody deleted it meanwhile
            return self._reader.read(file)

    def _is_passed_over(self, place: int) -> bool:
        return self._next > place or self._is_stuck(place)

    def _is_stuck(self, place: int) -> bool:
        """Whether files wait for room up to one that is being read, so that none will be made."""
        if self._ended or self._waiting is None:
            return self._ended
        return self._waiting <= place and not self._fits(self._order[self._waiting])

    def discard(self, part: str, paths: Iterable[str]) -> int:
        """Delete files from the disk that the copy lists, which makes room; how many there were."""
        chosen = [path for path in paths if path in self._place or path in self._others]
        n_deleted = self._copy.delete(part, chosen)
        self._release(chosen)
        return n_deleted

    def _schedule(self, pool: ThreadPoolExecutor) -> None:
        for place, file in enumerate(self._order):
            with self._room:
                self._next = place
                self._room.notify_all()
                if file.path in self._held or file.path in self._taken:
                    continue
                while not (self._ended or self._fits(file)):
                    self._waiting = place
                    self._room.notify_all()
                    self._room.wait()
                self._waiting = None
                if self._ended:
                    return
                if file.path not in self._taken:
                    self._hold(file)
                    self._coming[file.path] = pool.submit(self._fetch, file)
                    self._room.notify_all()
        with self._room:
            self._next = len(self._order)
            self._room.notify_all()

    def _fetch(self, file: RemoteFile) -> bytes | None:
        content = self._reader.read(file)
        if file.size is None:
            with self._room:
                self._hold(file, len(content))
        if file.path not in self._on_disk:
            return content
        self._copy.add(file, content)
        return None

    def _fits(self, file: RemoteFile) -> bool:
        return self._most is None or self._n_held + self._room_of(file) <= self._most

    def _room_of(self, file: RemoteFile, size: int | None = None) -> int:
        size = size or file.size or (_ASSUMED if file.size is None else 0)
        return size if (file.path in self._on_disk) == self._bounds_disk else 0

    def _hold(self, file: RemoteFile, size: int | None = None) -> None:
        with self._room:
            self._n_held -= self._held.get(file.path, 0)
            self._held[file.path] = self._room_of(file, size)
            self._n_held += self._held[file.path]
            self.most_held = max(self.most_held, self._n_held)

    def _release(self, paths: Iterable[str]) -> None:
        with self._room:
            for path in paths:
                self._n_held -= self._held.pop(path, 0)
                self._coming.pop(path, None)
            self._room.notify_all()


def require_room_for(plates: dict[str, int], most_bytes: int | None) -> None:
    """Refuse a plate that is larger than the room for images.

    Args:
        plates: Barcode -> bytes of its images.
        most_bytes: `fetch.max_disk`.

    Raises:
        InputError: With the plate and what it needs.
    """
    too_large = {plate: size for plate, size in plates.items() if most_bytes and size > most_bytes}
    if too_large:
        plate, size = max(too_large.items(), key=lambda item: item[1])
        raise InputError(
            f"the images of {len(too_large)} of {len(plates)} plate(s) take more than "
            f"fetch.max_disk, {(most_bytes or 0) / 1e9:,.2f} GB; {plate} takes {size / 1e9:,.2f}: "
            "raise it, or set fetch.stream to false, which reads images without a disk"
        )
