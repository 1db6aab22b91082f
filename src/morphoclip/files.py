"""Files that are whole or not there: written beside and renamed, checked when they are read."""

import errno
import hashlib
import json
import os
import re
import shutil
import socket
import struct
import zipfile
import zlib
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from morphoclip.errors import InputError

PARTIAL = ".partial"
_BEFORE = ".before"
_OWNED = re.compile(
    rf"^\.(?P<name>.+)\.(?P<host>[^.]*)\.(?P<pid>\d+)(?P<before>{re.escape(_BEFORE)})?"
    rf"{re.escape(PARTIAL)}$"
)
_FULL = (errno.ENOSPC, errno.EDQUOT)
_OF_MACHINE = "4026531836"
"""Linux' number of the processes that no container holds."""

_LENGTHS_IN_HEADER = 26
"""Where a ZIP entry's header has the lengths of its name and of what follows, the last in it."""

_LITTLE = 2**20
_swept: set[Path] = set()


def this_host() -> str:
    """This machine's name, as it stands in names of files; a container's has its number.

    Containers may share the name of their machine and each counts processes for itself.
    """
    name = re.sub(r"[^\w-]", "-", socket.gethostname())
    try:
        processes = Path("/proc/self/ns/pid").readlink().name
    except OSError:  # not Linux
        return name
    return name if _OF_MACHINE in processes else f"{name}-{re.sub(r'[^0-9]', '', processes)}"


def partial_name(path: Path) -> Path:
    """Where a file lies until it is whole: hidden, beside, with its writer's host and process."""
    return path.with_name(f".{path.name}.{this_host()}.{os.getpid()}{PARTIAL}")


@contextmanager
def written_whole(path: Path) -> Iterator[Path]:
    """Another name to write to, a file or a folder, which becomes ``path`` when the block ends.

    A block that fails leaves neither. What killed ones left in the folder is removed by the next
    process that writes there.

    Raises:
        InputError: The disk is full.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.parent not in _swept:
        _swept.add(path.parent)
        remove_leftovers(path.parent.glob(f".*{PARTIAL}"))
    partial = partial_name(path)
    try:
        yield partial
        _put_in_place(partial, path)
    except BaseException as error:
        written = _size(partial)
        _remove(partial)
        free = shutil.disk_usage(path.parent).free
        if isinstance(error, Exception) and _is_full(error, free):
            raise InputError(
                f"{shown_path(path)} could not be written: the disk is full (it needs more than "
                f"{max(written, free) / 1e6:.1f} MB, {free / 1e6:.1f} MB are free). What was "
                "written before is whole: free some space and run the same command again"
            ) from error
        raise


def remove_leftovers(partials: Iterable[Path]) -> int:
    """Delete what killed processes of this machine left half written; how many these were."""
    dead = [path for path in partials if is_leftover(path)]
    for path in dead:
        owner = _OWNED.match(path.name)
        target = path.with_name(owner["name"]) if owner and owner["before"] else None
        if target is not None and not target.exists():
            path.rename(target)  # killed between two renames: the folder of before is the newest
        else:
            _remove(path)
    return len(dead)


def is_leftover(path: Path) -> bool:
    """Whether a file was being written by a process of this machine that is no more."""
    owner = _OWNED.match(path.name)
    return owner is not None and owner["host"] == this_host() and not is_alive(int(owner["pid"]))


def is_alive(pid: int) -> bool:
    """Whether there is a process of this number on this machine."""
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    return True


def json_digest(written: Mapping[str, Any]) -> str:
    """SHA-256 of what is kept as JSON, whatever the order of its keys."""
    return hashlib.sha256(json.dumps(written, sort_keys=True).encode()).hexdigest()


def require_intact(path: Path) -> None:
    """Hold every byte of a ``.pt`` file against the checksums that torch wrote into it.

    torch itself does not: one changed byte would be a number like any other.

    Raises:
        InputError: A byte has changed, or it is no such file.
    """
    try:
        with zipfile.ZipFile(path) as archive:
            damaged = _not_of_torch(archive) or archive.testzip()
    except FileNotFoundError:
        raise
    except Exception as error:  # a damaged archive fails in many ways; all mean one thing
        damaged = str(error)
    if damaged is not None:
        raise InputError(
            f"{shown_path(path)} is damaged: it is not what was written ({damaged}). Delete it and "
            "run the pipeline that makes it, or copy it from where it is whole"
        )


def start_in(path: Path, content: memoryview) -> int | None:
    """The first byte of an entry of a ``.pt`` file that holds just this; None where none does."""
    checksum = zlib.crc32(content)
    with zipfile.ZipFile(path) as archive, path.open("rb") as file:
        for entry in archive.infolist():
            if (entry.file_size, entry.CRC) == (content.nbytes, checksum):
                file.seek(entry.header_offset + _LENGTHS_IN_HEADER)
                return file.tell() + 4 + sum(struct.unpack("<HH", file.read(4)))
    return None


def require_regular(place: str) -> None:
    """Refuse a pipe, a socket or a device of this machine, which would be read for ever.

    Raises:
        InputError: It is one.
    """
    path = Path(place.removeprefix("file://"))
    if "://" not in place.removeprefix("file://") and path.exists() and is_special(path):
        raise InputError(
            f"{shown_path(path)} is no file that can be read: it is a pipe or a device"
        )


def is_special(path: Path) -> bool:
    """Whether it is neither a file nor a folder: a pipe, a socket, a device."""
    return not (path.is_file() or path.is_dir())


def shown_path(path: Path) -> str:
    """A path as a message has it: relative, where it lies below the working folder."""
    here = Path.cwd()
    return str(path.relative_to(here)) if path.is_relative_to(here) else str(path)


def _not_of_torch(archive: zipfile.ZipFile) -> str | None:
    """The first entry that is compressed or has attributes, which torch reads as something else."""
    return next(
        (
            entry.filename
            for entry in archive.infolist()
            if entry.external_attr or entry.compress_type != zipfile.ZIP_STORED
        ),
        None,
    )


def _is_full(error: BaseException | None, free: int) -> bool:
    """Libraries word it in their own ways, and some lose the reason."""
    if free < _LITTLE:
        return True
    while error is not None:
        if getattr(error, "errno", None) in _FULL or "No space left on device" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())


def _put_in_place(partial: Path, path: Path) -> None:
    if not path.is_dir():
        partial.replace(path)
        return
    before = partial.with_suffix(f"{_BEFORE}{PARTIAL}")
    path.rename(before)
    partial.rename(path)
    shutil.rmtree(before, ignore_errors=True)


def _remove(path: Path) -> None:
    if path.is_dir():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)
