"""A disk that fills: a sentence each time, and with room again what an undisturbed run leaves."""

import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from attacks.conftest import share_of
from attacks.forked import run
from attacks.reference import assert_as_if_nothing_had_been, command, copy

pytestmark = pytest.mark.slow

SIZES = {"image_features": 9, "training": 6, "splitting": 3, "evaluation": 4}
"""22 in all: how many sizes between what lies there already and what the stage leaves."""


def fills() -> Iterator[tuple[str, float]]:
    for stage, number in SIZES.items():
        for place in range(min(number, share_of(number))):
            yield stage, (place + 0.5) / number


@contextmanager
def disk(folder: Path, size: int) -> Iterator[Path]:
    """A disk of so many bytes; skips where none can be mounted."""
    folder.mkdir()
    mount = ["mount", "-t", "tmpfs", "-o", f"size={size}", "tmpfs", str(folder)]
    done = subprocess.run(mount, capture_output=True, text=True)
    if done.returncode:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    try:
        yield folder
    finally:
        subprocess.run(["umount", "-l", str(folder)], check=True)


def used(folder: Path) -> int:
    """Bytes in whole pages, as a tmpfs counts them."""
    return sum(4096 * (1 + -(-path.stat().st_size // 4096)) for path in folder.rglob("*"))


@pytest.mark.parametrize(("stage", "share"), list(fills()))
def test_a_full_disk_is_said_and_loses_nothing(reference, tmp_path, stage, share) -> None:
    done, before = reference.after(stage), reference.before(stage)
    low, high = used(before), used(done)
    size = int(low + share * max(high - low, 2**18)) + 2**16
    with disk(tmp_path / "disk", size) as mounted:
        folder = mounted / "run"
        copy(before, folder)
        ended = run(command(folder, stage))
        if ended.how == "done":  # what is needed meanwhile is no more than what is left
            assert_as_if_nothing_had_been(folder, done, ended)
            return
        assert ended.how == "sentence", ended.words
        assert "full" in ended.words, ended.words
        assert "damaged" not in ended.words, ended.words
        subprocess.run(["mount", "-o", "remount,size=1g", str(mounted)], check=True)
        assert_as_if_nothing_had_been(folder, done, run(command(folder, stage)))
