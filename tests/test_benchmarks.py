"""The bench compares equal things, and runs."""

import numpy as np
import pytest

from benchmarks.harness import Way, interleave
from benchmarks.images import largest_difference, overlap, synthetic_plane, tiff_bytes


@pytest.mark.parametrize("compression", [None, "lzw"])
def test_our_input_is_the_literal_one(compression: str | None) -> None:
    content = tiff_bytes(synthetic_plane(side=270), compression=compression)
    assert largest_difference(content) < 2e-6


def test_our_input_is_the_literal_one_on_real_planes(gallery) -> None:
    for path in sorted(gallery.rglob("*.tiff")):
        assert largest_difference(path.read_bytes()) < 2e-6


def test_ways_are_run_in_turn_and_compared_with_the_first() -> None:
    calls: list[str] = []
    timings = interleave(
        [Way("a", lambda: calls.append("a")), Way("b", lambda: calls.append("b"))], rounds=3
    )
    assert calls == ["a", "b"] * 4
    assert [timing.name for timing in timings] == ["a", "b"]
    assert timings[0].times_faster == timings[0].lowest == timings[0].highest == 1


def test_overlap_tells_three_times() -> None:
    times = overlap(1.0, sites=4)
    assert np.isfinite(times).all()
    assert min(times) > 0
