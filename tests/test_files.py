"""Files that are whole or not there, and every changed byte."""

import os
import random
import subprocess
import sys

import pytest
import torch

from morphoclip.errors import InputError
from morphoclip.files import (
    partial_name,
    remove_leftovers,
    require_intact,
    this_host,
    written_whole,
)

GONE = 2**22 - 1
"""No process has this number: Linux counts to 2**22 at most."""


def test_a_file_is_there_when_it_is_whole(tmp_path) -> None:
    path = tmp_path / "new" / "table.csv"
    with written_whole(path) as partial:
        partial.write_text("a")
        assert not path.exists()
    assert [file.name for file in path.parent.iterdir()] == ["table.csv"]
    with pytest.raises(TypeError), written_whole(path) as partial:
        partial.write_text(b"no text")
    assert path.read_text() == "a"
    assert [file.name for file in path.parent.iterdir()] == ["table.csv"]


def test_a_folder_takes_the_place_of_another(tmp_path) -> None:
    for content in ("a", "b"):
        with written_whole(tmp_path / "bundle") as partial:
            partial.mkdir()
            (partial / "file").write_text(content)
    assert (tmp_path / "bundle" / "file").read_text() == "b"
    assert [folder.name for folder in tmp_path.iterdir()] == ["bundle"]


def test_what_killed_processes_left_is_removed_and_what_others_write_is_not(tmp_path) -> None:
    host = this_host()
    dead = tmp_path / f".a.pt.{host}.{GONE}.partial"
    of_folder = tmp_path / f".bundle.{host}.{GONE}.before.partial"
    own = partial_name(tmp_path / "b.pt")
    elsewhere = tmp_path / f".c.pt.another-machine.{GONE}.partial"
    users = tmp_path / ".mine.partial"
    of_folder.mkdir()
    for path in (dead, own, elsewhere, users, of_folder / "weights"):
        path.touch()
    assert remove_leftovers(tmp_path.glob(".*.partial")) == 2
    left = {path.name for path in tmp_path.iterdir()}
    assert left == {own.name, elsewhere.name, users.name, "bundle"}, "the old folder comes back"
    assert (tmp_path / "bundle" / "weights").exists()


def test_every_changed_byte_of_a_pt_file_is_noticed_or_changes_nothing(tmp_path) -> None:
    value = {"tokens": torch.arange(600, dtype=torch.float16).reshape(3, 200), "name": "ß"}
    path = tmp_path / "tokens.pt"
    torch.save(value, path)
    require_intact(path)
    whole = path.read_bytes()
    numbers = random.Random(0)
    directory = whole.index(b"PK\x01\x02")  # of names, places and checksums: every bit of it
    flips = [(place, numbers.randrange(8)) for place in range(0, directory, 3)]
    flips += [(place, bit) for place in range(directory, len(whole)) for bit in range(8)]
    noticed = 0
    for place, bit in flips:
        flipped = bytearray(whole)
        flipped[place] ^= 1 << bit
        path.write_bytes(flipped)
        try:
            require_intact(path)
        except InputError:
            noticed += 1
            continue
        try:
            found = torch.load(path, weights_only=True)
        except RuntimeError:
            continue
        assert torch.equal(found["tokens"], value["tokens"]), place
        assert found["name"] == "ß", place
    assert noticed > 0.5 * len(flips)
    for cut in (0, 1, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:cut])
        with pytest.raises(InputError, match="is damaged"):
            require_intact(path)


FILL = """
import sys
from pathlib import Path
from morphoclip.errors import InputError
from morphoclip.files import written_whole
try:
    with written_whole(Path(sys.argv[1]) / "big.bin") as partial:
        partial.write_bytes(bytes(3_000_000))
except InputError as error:
    print(error)
"""


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk")
def test_a_full_disk_is_said_in_words_of_writing(tmp_path) -> None:
    command = (
        f"mount -t tmpfs -o size=1m tmpfs {tmp_path} && {sys.executable} -c '{FILL}' {tmp_path}"
    )
    done = subprocess.run(["unshare", "-m", "sh", "-c", command], capture_output=True, text=True)
    if "unshare" in done.stderr or "mount" in done.stderr:
        pytest.skip(f"no small disk can be mounted here: {done.stderr.strip()}")
    assert "big.bin could not be written: the disk is full" in done.stdout
    assert "run the same command again" in done.stdout
