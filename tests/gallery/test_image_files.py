"""Images on a disk: what is no file is set aside, and never read for ever."""

import os
import socket

import pytest

from morphoclip.gallery.image_files import ImageFiles
from morphoclip.imaging.preprocess import ImageFile, SiteImages, read_site


@pytest.fixture
def folder(tmp_path):
    os.mkfifo(tmp_path / "pipe.tif")
    (tmp_path / "device.tif").symlink_to("/dev/zero")
    (tmp_path / "loop.tif").symlink_to(tmp_path / "loop.tif")
    with socket.socket(socket.AF_UNIX) as bound:
        here = os.open(".", os.O_RDONLY)
        os.chdir(tmp_path)  # names of sockets are short
        bound.bind("socket.tif")
        os.fchdir(here)
        os.close(here)
    (tmp_path / "folder.tif").mkdir()
    return tmp_path


@pytest.mark.parametrize("name", ["pipe", "device", "socket", "loop", "folder"])
def test_what_is_no_file_is_set_aside(folder, name) -> None:
    files = ImageFiles(str(folder))
    site = SiteImages("P", "A01", 1, {"DNA": ImageFile(f"{name}.tif")}, files.images())
    planes, unusable = read_site(site)
    assert not planes
    assert unusable["DNA"].reason == "unreadable"
    assert f"{name}.tif" in str(unusable["DNA"])


def test_one_bad_link_does_not_hide_the_others(folder) -> None:
    files = ImageFiles(str(folder))
    assert files.folders() == ["folder.tif"]
    assert "loop.tif" in files.files()
