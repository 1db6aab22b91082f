"""Progress of long work: a bar for people who watch, a line a minute for a log."""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

from rich.progress import track

logger = logging.getLogger(__name__)

SECONDS_BETWEEN_LINES = 60.0

T = TypeVar("T")


def watched(
    items: Iterable[T],
    what: str,
    *,
    total: int | None = None,
    transient: bool = False,
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[T]:
    """The items, and how far they are; ``transient`` bars vanish when they are full."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    if sys.stderr.isatty():
        yield from track(items, what, total=total, transient=transient)
        return
    begun = said = clock()
    for number, item in enumerate(items):
        now = clock()
        if number and now - said >= SECONDS_BETWEEN_LINES:
            said = now
            logger.info("%s: %s", what, _so_far(number, total, now - begun))
        yield item


def _so_far(number: int, total: int | None, seconds: float) -> str:
    """Such as ``40 of 160, about 12 min left``."""
    if total is None:
        return f"{number} done"
    minutes = seconds / number * (total - number) / 60
    return f"{number} of {total}, about {max(round(minutes), 1)} min left"
