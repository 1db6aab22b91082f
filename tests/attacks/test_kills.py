"""SIGKILL at every kind of write: what a rerun ends with is what an undisturbed run ends with."""

import random

import pytest
from attacks.conftest import share_of
from attacks.forked import run
from attacks.reference import assert_as_if_nothing_had_been, command, copy

pytestmark = pytest.mark.slow

KILLS = {
    "ingestion": 8,
    "image_features": 40,
    "text_features": 8,
    "splitting": 8,
    "training": 26,
    "evaluation": 12,
    "cross_validation": 8,
}
"""110 in all."""


def kills(stage: str) -> list[tuple[int, str]]:
    """Numbers of a write as shares of all, and how far it gets; seeded."""
    numbers = random.Random(stage)
    return [
        (numbers.randrange(10**6), numbers.choice(["before", "after", "half"]))
        for _ in range(share_of(KILLS[stage]))
    ]


@pytest.mark.parametrize(
    ("stage", "place", "when"), [(stage, *kill) for stage in KILLS for kill in kills(stage)]
)
def test_a_killed_run_is_made_good_by_the_next(reference, tmp_path, stage, place, when) -> None:
    done = reference.after(stage)
    folder = tmp_path / "run"
    copy(reference.before(stage), folder)
    kill_at = place * reference.n_writes[stage] // 10**6 + 1
    ended = run(command(folder, stage, kill_at=kill_at, when=when))
    assert ended.how == "killed", ended
    assert_as_if_nothing_had_been(folder, done, run(command(folder, stage)))
