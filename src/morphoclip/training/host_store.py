"""Notes and files that hosts which train together leave each other.

They lie in torch's own TCPStore, on a socket that was bound here, because left to itself it listens
on every interface. Whoever reaches the port can read and write what lies in it, which is why
nothing that comes out of it is unpickled or run: numbers, JSON, tables, tensors.
"""

import datetime
import hashlib
import json
import socket
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Self

from torch.distributed import TCPStore  # type: ignore[attr-defined]

from morphoclip.errors import InputError
from morphoclip.files import written_whole
from morphoclip.training.rendezvous import Address, listen

_CHUNK = 4 * 2**20
"""Bytes; torch's store takes at most 8 MiB at once."""

_CHUNKS_AHEAD = 4
_SECONDS_TO_CONNECT = 5
_LONGEST_TEXT = 2000


class StoreClosed(Exception):
    """The store cannot be reached, or no longer."""


class HostStore:
    """What hosts tell each other: short notes by name, and files.

    Methods raise `StoreClosed` once the leading host is gone.
    """

    def __init__(self, store: Any, address: Address) -> None:
        self._store = store
        self.address = address

    @classmethod
    def serve(cls, address: Address, *, trusted: bool) -> Self:
        """Open the store on this machine.

        Raises:
            InputError: As `listen` does.
        """
        listening = listen(address, trusted=trusted)
        resolved = address.resolved()
        store = TCPStore(
            resolved.host,
            resolved.port,
            is_master=True,
            wait_for_workers=False,
            timeout=datetime.timedelta(seconds=_SECONDS_TO_CONNECT),
            master_listen_fd=listening.detach(),
        )
        return cls(store, resolved)

    @classmethod
    def connect(cls, address: Address) -> Self:
        """The store that another process opened.

        Raises:
            StoreClosed: Nobody answers there.
        """
        try:
            resolved = address.resolved()
            socket.create_connection(resolved, timeout=_SECONDS_TO_CONNECT).close()
            store = TCPStore(
                resolved.host,
                resolved.port,
                is_master=False,
                wait_for_workers=False,
                timeout=datetime.timedelta(seconds=_SECONDS_TO_CONNECT),
            )
        except (OSError, RuntimeError, InputError) as error:  # names may be known later
            raise StoreClosed(_first_line(error)) from error
        return cls(store, resolved)

    def another(self) -> "HostStore":
        """A connection of its own: one that waits holds up its others."""
        return HostStore.connect(self.address)

    def say(self, name: str, note: Any) -> None:
        """Leave a note, as JSON."""
        with _closed_if_broken():
            self._store.set(name, json.dumps(note))

    def hear(self, name: str) -> Any:
        """The note of this name, or None where there is none yet.

        Text in it is printable and short, whoever wrote it.
        """
        with _closed_if_broken():
            if not self._store.check([name]):
                return None
            content = self._store.get(name)
        try:
            return _harmless(json.loads(content))
        except ValueError:
            return None

    def claim(self, name: str, mine: str) -> bool:
        """Whether what this name stands for is mine now."""
        with _closed_if_broken():
            return bool(self._store.compare_set(name, "", mine) == mine.encode())

    def give_back(self, name: str) -> None:
        """Let another claim it."""
        with _closed_if_broken():
            self._store.delete_key(name)

    def send_file(self, name: str, path: Path, n_hosts: int, look: Callable[[], None]) -> None:
        """Hand a file to so many hosts; returns when all have it. ``look`` may end the waiting."""
        digest, size = _sha256(path), path.stat().st_size
        self.say(f"file/{name}", {"sha256": digest, "size": size})
        self._wait_for_count(f"answer/{name}", n_hosts, look)
        n_wanting = self._count(f"want/{name}")
        if not n_wanting:
            return
        n_chunks = -(-size // _CHUNK)
        with path.open("rb") as file:
            for number in range(n_chunks + _CHUNKS_AHEAD):
                if number < n_chunks:
                    with _closed_if_broken():
                        self._store.set(f"part/{name}/{number}", file.read(_CHUNK))
                if (behind := number - _CHUNKS_AHEAD) >= 0:
                    self._wait_for_count(f"got/{name}/{behind}", n_wanting, look)
                    self.give_back(f"part/{name}/{behind}")
        self._wait_for_count(f"whole/{name}", n_wanting, look)

    def receive_file(self, name: str, folder: Path, look: Callable[[], None]) -> Path:
        """The file that is sent by this name, below the folder by its SHA-256.

        It is not sent where it lies there already, as from a training before.

        Raises:
            InputError: What came is not what was sent.
        """
        while (about := self.hear(f"file/{name}")) is None:
            look()
            time.sleep(0.01)
        digest, size = str(about["sha256"]), int(about["size"])
        path = folder / hashlib.sha256(digest.encode()).hexdigest()  # a name of ours
        is_here = path.exists() and _sha256(path) == digest
        if not is_here:
            self._add(f"want/{name}")
        self._add(f"answer/{name}")
        if is_here:
            return path
        with written_whole(path) as partial, partial.open("wb") as file:
            for number in range(-(-size // _CHUNK)):
                while not self._is_there(f"part/{name}/{number}"):
                    look()
                    time.sleep(0.002)
                with _closed_if_broken():
                    file.write(self._store.get(f"part/{name}/{number}"))
                self._add(f"got/{name}/{number}")
        if _sha256(path) != digest:
            path.unlink()
            raise InputError(f"{name} did not arrive as it was sent: run the training again")
        self._add(f"whole/{name}")
        return path

    def _is_there(self, name: str) -> bool:
        with _closed_if_broken():
            return bool(self._store.check([name]))

    def _add(self, name: str) -> None:
        with _closed_if_broken():
            self._store.add(name, 1)

    def _count(self, name: str) -> int:
        with _closed_if_broken():
            return int(self._store.add(name, 0))

    def _wait_for_count(self, name: str, number: int, look: Callable[[], None]) -> None:
        while self._count(name) < number:
            look()
            time.sleep(0.002)


@contextmanager
def _closed_if_broken() -> Iterator[None]:
    try:
        yield
    except RuntimeError as error:  # torch's errors of network and store are such
        raise StoreClosed(_first_line(error)) from error


def _first_line(error: Exception) -> str:
    return str(error).splitlines()[0] if str(error) else type(error).__name__


def _harmless(value: Any) -> Any:
    """The same with texts that a terminal shows as they are."""
    if isinstance(value, str):
        kept = "".join(c if c.isprintable() or c == "\n" else "?" for c in value)
        return kept[:_LONGEST_TEXT]
    if isinstance(value, dict):
        return {str(key): _harmless(item) for key, item in value.items()}
    return [_harmless(item) for item in value] if isinstance(value, list) else value


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
