"""Folders of files, read one by one when they are asked for."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

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
