"""Plates of a bucket, as a folder has them."""

import pytest
from bucket_plates import objects_of
from project import Workspace

from morphoclip.remote import reading


@pytest.fixture
def short_waits(monkeypatch) -> None:
    monkeypatch.setattr(reading, "SECONDS_BETWEEN_TRIES", (0.001, 0.01))


@pytest.fixture(scope="session")
def at_home(tmp_path_factory) -> Workspace:
    """Synthetic plates on a disk, one site without a channel, to features."""
    workspace = Workspace(tmp_path_factory.mktemp("home"))
    workspace.run("demo_gallery")
    next(iter(sorted((workspace.data / "01_raw").rglob("*ch5*.tiff")))).unlink()
    workspace.run("ingestion", "image_features")
    return workspace


@pytest.fixture(scope="session")
def objects(at_home) -> dict[str, bytes]:
    return objects_of(at_home)
