"""Progress of long work: a bar for people who watch, a line a minute for a log."""

import logging
import sys
import time
from collections.abc import Callable, Iterable, Iterator, Sized
from typing import TypeVar

from rich.progress import (
    BarColumn,
    DownloadColumn,
    Progress,
    TextColumn,
    TimeRemainingColumn,
    TransferSpeedColumn,
    track,
)

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
            logger.info("%s: %s", what, so_far(number, total, now - begun))
        yield item


def bytes_watched(
    items: Iterable[T],
    what: str,
    *,
    total: int,
    size: Callable[[T], int],
    clock: Callable[[], float] = time.monotonic,
) -> Iterator[T]:
    """The items, and how many bytes of ``total`` they are so far."""
    if sys.stderr.isatty():
        columns = (
            TextColumn("{task.description}"),
            BarColumn(),
            DownloadColumn(),
            TransferSpeedColumn(),
            TimeRemainingColumn(),
        )
        with Progress(*columns) as progress:
            task = progress.add_task(what, total=total)
            for item in items:
                progress.advance(task, size(item))
                yield item
        return
    begun = said = clock()
    done = 0
    for item in items:
        done += size(item)
        now = clock()
        if now - said >= SECONDS_BETWEEN_LINES and done:
            said = now
            rate = done / (now - begun)
            minutes = max(round((total - done) / rate / 60), 1)
            logger.info(
                "%s: %.2f of %.2f GB, %.1f MB/s, about %d min left",
                what,
                done / 1e9,
                total / 1e9,
                rate / 1e6,
                minutes,
            )
        yield item


def so_far(number: int, total: int | None, seconds: float) -> str:
    """How far work is, such as ``40 of 160, about 12 min left``."""
    if total is None:
        return f"{number} done"
    minutes = seconds / number * (total - number) / 60
    return f"{number} of {total}, about {max(round(minutes), 1)} min left"
