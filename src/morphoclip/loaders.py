"""Folders of files, read one by one when they are asked for."""

from collections.abc import Callable, Mapping
from typing import Any, TypeVar

T = TypeVar("T")

OnDemand = Callable[[], Any]
"""Reads a file when it is called."""

Loaders = Mapping[str, Callable[[], T]]
"""Name of a file below its folder -> a function that reads it."""
