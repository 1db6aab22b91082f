"""Folders of files, read one by one when they are asked for."""

import os
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, NamedTuple, TypeVar

T = TypeVar("T")

OnDemand = Callable[[], Any]
"""Reads a file when it is called."""

Loaders = Mapping[str, Callable[[], T]]
"""Name of a file below its folder -> a function that reads it."""


class Listing(dict[str, Callable[[], Any]]):
    """The files of a folder when it was listed, and how to list it again."""

    def __init__(self, entries: Mapping[str, Callable[[], Any]], again: Callable[[], Any]) -> None:
        super().__init__(entries)
        self.again = again


def listed_again(loaders: Loaders[T]) -> Loaders[T]:
    """The files that are there now."""
    return loaders.again() if isinstance(loaders, Listing) else loaders


class Extent(NamedTuple):
    """Where something lies in a file of this machine.

    Attributes:
        path: The file.
        start: Its first byte there.
        stamp: What tells the file from another of its name: `file_stamp`.
    """

    path: Path
    start: int
    stamp: tuple[int, int, int]


def file_stamp(of: os.stat_result) -> tuple[int, int, int]:
    """Number, size and time of change of a file."""
    return of.st_ino, of.st_size, of.st_mtime_ns


def extent_of(reader: object, content: memoryview) -> Extent | None:
    """Where these bytes lie in the file that something reads; None where it cannot tell.

    For parts to be read later: what does not fit into memory.
    """
    find = getattr(reader, "extent_of", None)
    found: Extent | None = find(content) if find else None
    return found
