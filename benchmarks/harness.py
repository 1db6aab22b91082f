"""Interleaved rounds in one process, pair-by-pair ratios, equal results before any time counts."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from statistics import median


@dataclass(frozen=True)
class Way:
    """One way to do a job: a name and a function without arguments."""

    name: str
    run: Callable[[], object]


@dataclass(frozen=True)
class Timing:
    """A way's time, and how many times faster it is than the first way, round by round."""

    name: str
    seconds: float
    times_faster: float
    lowest: float
    highest: float


def interleave(ways: Sequence[Way], *, rounds: int) -> list[Timing]:
    """Run the ways round-robin; the first one is what the others are compared with."""
    for way in ways:
        way.run()  # what is loaded once is not timed
    seconds: list[list[float]] = [[] for _ in ways]
    for _ in range(rounds):
        for place, way in enumerate(ways):
            start = time.perf_counter()
            way.run()
            seconds[place].append(time.perf_counter() - start)
    timings = []
    for place, way in enumerate(ways):
        ratios = [one / own for one, own in zip(seconds[0], seconds[place], strict=True)]
        timings.append(
            Timing(way.name, median(seconds[place]), median(ratios), min(ratios), max(ratios))
        )
    return timings
