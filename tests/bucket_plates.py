"""Synthetic plates that lie in a bucket, and a lab that works on them from there."""

from http.server import HTTPServer
from pathlib import Path
from typing import Any

from faulty_server import BUCKET
from project import Workspace

PREFIX = "lab/"


def objects_of(home: Workspace) -> dict[str, bytes]:
    """The plates of a disk as objects, with a brightfield channel."""
    root = home.data / "01_raw"
    found = {
        f"{PREFIX}{path.relative_to(root).as_posix()}": path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.relative_to(root).parts[0] in ("images", "workspace")
    }
    dna = [key for key in found if "ch5" in key]
    return found | {key.replace("ch5", "ch8"): found[key] for key in dna}


def images_of(objects: dict[str, bytes]) -> list[str]:
    return [key for key in objects if key.endswith(".tiff")]


def wanted_of(objects: dict[str, bytes]) -> list[str]:
    """The files that a run reads: no brightfield, nothing of an incomplete site."""
    channels: dict[str, set[str]] = {}
    for key in images_of(objects):
        stem, _, channel = key.rpartition("-ch")
        if not channel.startswith("8"):
            channels.setdefault(stem, set()).add(key)
    return sorted(key for keys in channels.values() if len(keys) == 5 for key in keys)


class Lab(Workspace):
    """A machine that has the bucket's address."""

    def __init__(self, folder: Path, server: HTTPServer, home: Workspace) -> None:
        super().__init__(folder)
        raw = home.data / "01_raw"
        self.source = {
            "root": f"s3://{BUCKET}/{PREFIX.rstrip('/')}",
            "endpoint_url": "http://{}:{}".format(*server.server_address),
            "experiment_metadata": str(raw / "experiment-metadata.tsv"),
            "annotations": str(raw / "compound_annotations.tsv"),
        }

    def run(self, *pipelines: str, **params: Any) -> None:
        ingestion = {"source": self.source} | params.pop("ingestion", {})
        super().run(*pipelines, ingestion=ingestion, **params)

    @property
    def copies(self) -> Path:
        server = self.source["endpoint_url"].partition("://")[2].replace(":", "-")
        return self.data / "01_raw" / "s3" / server / BUCKET

    def images_here(self) -> list[Path]:
        """All that lie on this machine, fetched or passing through."""
        raw = self.data / "01_raw"
        return sorted(raw.rglob("*.tiff")) if raw.exists() else []

    def copied(self) -> list[str]:
        place = self.copies / PREFIX
        return sorted(p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file())


def alike(one: Workspace, other: Workspace) -> bool:
    ours, theirs = one.load("plate_features"), other.load("plate_features")
    return set(ours) == set(theirs) and all(ours[p]().equals(theirs[p]()) for p in ours)
