"""Notes and files that hosts which train together leave each other.

They lie in torch's own TCPStore, on a socket that was bound here, because left to itself it listens
on every interface. Whoever reaches the port can read and write what lies in it, which is why
nothing that comes out of it is unpickled or run: numbers, JSON, tables, tensors.
"""

import datetime
import hashlib
import queue
import socket
import threading
import time
from collections.abc import Callable
from concurrent.futures import Future
from pathlib import Path
from typing import Any, Self, TypeVar

from pydantic import ValidationError
from torch.distributed import TCPStore  # type: ignore[attr-defined]

from morphoclip.errors import InputError
from morphoclip.files import written_whole
from morphoclip.training.hosts.notes import FileSent, Note
from morphoclip.training.hosts.rendezvous import Address, listen

_CHUNK = 4 * 2**20
"""Bytes; torch's store takes at most 8 MiB at once."""

_CHUNKS_AHEAD = 4
_SECONDS_TO_CONNECT = 5
_SECONDS_TO_ANSWER = 20.0
"""torch's own limits do not hold for a machine that is silent, or for a port that is no store's."""

T = TypeVar("T")
N = TypeVar("N", bound=Note)


class StoreClosed(Exception):
    """The store cannot be reached, or no longer."""


class _Answers:
    """Calls of one connection, one after the other, each answered in time or given up."""

    def __init__(self) -> None:
        self._asked: queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None]
        self._asked = queue.SimpleQueue()
        threading.Thread(target=_answer, args=(self._asked,), daemon=True).start()

    def to(self, question: Callable[[], T]) -> T:
        """What a call returns.

        Raises:
            StoreClosed: It failed, or does not return.
        """
        future: Future[T] = Future()
        self._asked.put((question, future))
        try:
            return future.result(_SECONDS_TO_ANSWER)
        except TimeoutError as error:
            raise StoreClosed(f"no answer for {_SECONDS_TO_ANSWER:g} s") from error
        except RuntimeError as error:  # torch's errors of network and store are such
            raise StoreClosed(str(error).partition("\n")[0]) from error

    def __del__(self) -> None:
        self._asked.put(None)


def _answer(asked: "queue.SimpleQueue[tuple[Callable[[], Any], Future[Any]] | None]") -> None:
    while (one := asked.get()) is not None:
        question, future = one
        try:
            future.set_result(question())
        except BaseException as error:  # it is raised where the answer is waited for
            future.set_exception(error)
        del one, question, future


class HostStore:
    """What hosts tell each other: short notes by name, and files.

    Methods raise `StoreClosed` once the leading host is gone.
    """

    def __init__(self, open_store: Callable[[], Any], address: Address) -> None:
        self._answers = _Answers()
        self._store = self._answers.to(open_store)
        self.address = address

    @classmethod
    def serve(cls, address: Address, *, trusted: bool) -> Self:
        """Open the store on this machine.

        Raises:
            InputError: As `listen` does, or nothing can connect to the address.
        """
        listening = listen(address, trusted=trusted)
        resolved = Address(str(listening.getsockname()[0]), address.port)
        try:
            return cls(
                lambda: TCPStore(
                    resolved.host,
                    resolved.port,
                    is_master=True,
                    wait_for_workers=False,
                    timeout=datetime.timedelta(seconds=_SECONDS_TO_CONNECT),
                    master_listen_fd=listening.detach(),
                ),
                resolved,
            )
        except StoreClosed as error:
            raise InputError(
                f"nothing reaches the rendezvous {address} ({error}): give the address of one of "
                "this machine's interfaces"
            ) from error

    @classmethod
    def connect(cls, address: Address) -> Self:
        """The store that another process opened.

        Raises:
            StoreClosed: Nobody answers there.
        """
        try:
            resolved = address.resolved()
            socket.create_connection(resolved, timeout=_SECONDS_TO_CONNECT).close()
        except (OSError, InputError) as error:  # names may be known later
            raise StoreClosed(str(error)) from error
        return cls(
            lambda: TCPStore(
                resolved.host,
                resolved.port,
                is_master=False,
                wait_for_workers=False,
                timeout=datetime.timedelta(seconds=_SECONDS_TO_CONNECT),
            ),
            resolved,
        )

    def another(self) -> "HostStore":
        """A connection of its own: one that waits holds up its others."""
        return HostStore.connect(self.address)

    def say(self, name: str, note: Note) -> None:
        """Leave a note, as JSON."""
        self._answers.to(lambda: self._store.set(name, note.model_dump_json()))

    def hear(self, name: str, kind: type[N]) -> N | None:
        """The note of this name; None where there is none yet, or something of another shape."""
        if not self._is_there(name):
            return None
        content = self._answers.to(lambda: self._store.get(name))
        try:
            return kind.model_validate_json(content)
        except (ValidationError, RecursionError):
            return None

    def claim(self, name: str, mine: Note) -> bool:
        """Whether what this name stands for is mine now."""
        wanted = mine.model_dump_json()
        found = self._answers.to(lambda: self._store.compare_set(name, "", wanted))
        return bool(found == wanted.encode())

    def take_back(self, name: str) -> None:
        """Leave no note by this name; another may claim it."""
        self._answers.to(lambda: self._store.set(name, ""))

    def send_file(self, name: str, path: Path, n_hosts: int, look: Callable[[], None]) -> None:
        """Hand a file to so many hosts; returns when all have it. ``look`` may end the waiting."""
        size = path.stat().st_size
        self.say(f"file/{name}", FileSent(sha256=_sha256(path), size=size))
        self._wait_for_count(f"answer/{name}", n_hosts, look)
        n_wanting = self._add(f"want/{name}", 0)
        if not n_wanting:
            return
        n_chunks = -(-size // _CHUNK)
        with path.open("rb") as file:
            for number in range(n_chunks + _CHUNKS_AHEAD):
                if number < n_chunks:
                    self._set(f"part/{name}/{number}", file.read(_CHUNK))
                if 0 <= (behind := number - _CHUNKS_AHEAD) < n_chunks:
                    self._wait_for_count(f"got/{name}/{behind}", n_wanting, look)
                    self._drop(f"part/{name}/{behind}")
        self._wait_for_count(f"whole/{name}", n_wanting, look)

    def receive_file(self, name: str, folder: Path, look: Callable[[], None]) -> Path:
        """The file that is sent by this name, below the folder by its SHA-256.

        It is not sent where it lies there already, as from a training before.

        Raises:
            InputError: What came is not what was sent.
        """
        while (about := self.hear(f"file/{name}", FileSent)) is None:
            look()
            time.sleep(0.01)
        digest, size = about.sha256, about.size
        path = folder / hashlib.sha256(digest.encode()).hexdigest()  # a name of ours
        is_here = path.exists() and _sha256(path) == digest
        if not is_here:
            self._add(f"want/{name}", 1)
        self._add(f"answer/{name}", 1)
        if is_here:
            return path
        with written_whole(path) as partial, partial.open("wb") as file:
            for number in range(-(-size // _CHUNK)):
                while not self._is_there(f"part/{name}/{number}"):
                    look()
                    time.sleep(0.002)
                file.write(self._get(f"part/{name}/{number}"))
                self._add(f"got/{name}/{number}", 1)
        if _sha256(path) != digest:
            path.unlink()
            raise InputError(f"{name} did not arrive as it was sent: run the training again")
        self._add(f"whole/{name}", 1)
        return path

    def _set(self, name: str, content: bytes) -> None:
        self._answers.to(lambda: self._store.set(name, content))

    def _get(self, name: str) -> bytes:
        return bytes(self._answers.to(lambda: self._store.get(name)))

    def _drop(self, name: str) -> None:
        self._answers.to(lambda: self._store.delete_key(name))

    def _is_there(self, name: str) -> bool:
        return bool(self._answers.to(lambda: self._store.check([name])))

    def _add(self, name: str, number: int) -> int:
        return int(self._answers.to(lambda: self._store.add(name, number)))

    def _wait_for_count(self, name: str, number: int, look: Callable[[], None]) -> None:
        while self._add(name, 0) < number:
            look()
            time.sleep(0.002)


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
