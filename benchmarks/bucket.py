"""Files of a bucket beside what its server gives, and features from it beside those of a folder."""

import asyncio
import http.client
import random
import shutil
import tempfile
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing
from itertools import product
from pathlib import Path

from benchmarks.constant_bucket import BUCKET, bare_sockets, serving
from benchmarks.harness import Timing, Way, interleave
from benchmarks.images import synthetic_plane, tiff_bytes
from morphoclip.backbones.config import ImageBackboneConfig, UntrainedViT
from morphoclip.features.config import ImageFeaturesConfig
from morphoclip.gallery.fetching import FetchConfig
from morphoclip.gallery.image_files import ImageFiles
from morphoclip.gallery.named_images import NamedImages
from morphoclip.gallery.source import IngestionConfig, SourceConfig
from morphoclip.imaging.file_names import Channel, NamePattern
from morphoclip.imaging.sites import index_plates
from morphoclip.pipelines.image_features.nodes import extract_plates
from morphoclip.remote.copies import Copy
from morphoclip.remote.reading import Reader, Unread
from morphoclip.remote.stores import opened_store

AT_ONCE = 32


def fetching(n_files: int, size: int, *, rounds: int, pause: float = 0.0) -> list[Timing]:
    """Files of one size: bare clients, our reader without and with checksums, and to a disk."""
    body = random.Random(0).randbytes(size)
    keys = [f"plates/P1/{n:05d}.tiff" for n in range(n_files)]
    folder = Path(tempfile.mkdtemp())
    with serving(dict.fromkeys(keys, body), pause=pause) as port:
        url = f"s3://{BUCKET}/plates"
        store = opened_store(url, {"anon": True, "endpoint_url": f"http://127.0.0.1:{port}"})
        files = list(store.files("P1"))
        copy = Copy(url, folder)

        def read(*, checksums: bool, to_disk: bool = False) -> None:
            total = 0
            for outcome in Reader(store, checksums=checksums).read_all(files, at_once=AT_ONCE):
                if isinstance(outcome, Unread):
                    raise AssertionError(outcome.reason)
                total += len(outcome[1])
                if to_disk:
                    copy.add(*outcome)
            _require(total, n_files * size)

        def bare() -> None:
            _require(asyncio.run(bare_sockets(port, keys, AT_ONCE)), n_files * size)

        def ask(keys: list[str]) -> int:
            total = 0
            with closing(http.client.HTTPConnection("127.0.0.1", port)) as connection:
                for key in keys:
                    connection.request("GET", f"/{BUCKET}/{key}")
                    total += len(connection.getresponse().read())
            return total

        def threads() -> None:
            with ThreadPoolExecutor(AT_ONCE) as pool:
                _require(
                    sum(pool.map(ask, [keys[n::AT_ONCE] for n in range(AT_ONCE)])), n_files * size
                )

        try:
            return interleave(
                [
                    Way("bare sockets, asyncio", bare),
                    Way("http.client, threads", threads),
                    Way("read", lambda: read(checksums=False)),
                    Way("read, with checksums", lambda: read(checksums=True)),
                    Way("fetched to a disk", lambda: read(checksums=True, to_disk=True)),
                ],
                rounds=rounds,
            )
        finally:
            shutil.rmtree(folder)


def extracting(n_sites: int, *, rounds: int) -> list[Timing]:
    """Features of a plate with a small backbone, of a folder and of a bucket."""
    channels: dict[str, Channel] = {"DNA": 5, "ER": 2, "RNA": 3, "AGP": 4, "MITO": 1}
    contents = [tiff_bytes(synthetic_plane(n), compression="lzw") for n in range(4)]
    names = [f"r{n // 9 + 1:02d}c01f{n % 9 + 1:02d}p01" for n in range(n_sites)]
    objects = {
        f"plates/P1__2026-01-31/Images/{name}-ch{called}sk1fk1fl1.tiff": contents[place % 4]
        for place, (name, called) in enumerate(product(names, channels.values()))
    }
    folder = Path(tempfile.mkdtemp())
    for key, body in objects.items():
        (folder / key).parent.mkdir(parents=True, exist_ok=True)
        (folder / key).write_bytes(body)
    vit = UntrainedViT(hidden_size=192, layers=2, heads=3)
    config = ImageFeaturesConfig(
        channels=channels, backbone=ImageBackboneConfig(kind="untrained", untrained=vit)
    )
    ingestion = IngestionConfig(source=SourceConfig(root="plates", batch="none"))
    source = ImageFiles(str(folder / "plates"))
    images = NamedImages(source, NamePattern("opera_phenix"), channels)
    site_index = index_plates([("P1", images.of("P1"))], channels).site_index

    def extract(source: ImageFiles) -> None:
        found = 0
        for chunk in extract_plates(
            site_index, source, {}, {}, {}, {}, {}, {}, ingestion, config, FetchConfig()
        ):
            found += len(chunk["features"])
        if found != n_sites:
            raise AssertionError(f"{found} of {n_sites} sites have features")

    def from_bucket(port: int) -> None:
        options = {"anon": True, "endpoint_url": f"http://127.0.0.1:{port}"}
        copies = Path(tempfile.mkdtemp(dir=folder))
        extract(ImageFiles(f"s3://{BUCKET}/plates", options, copies=copies))
        shutil.rmtree(copies)

    try:
        with serving(objects) as port:
            return interleave(
                [
                    Way("from a folder", lambda: extract(source)),
                    Way("from a bucket", lambda: from_bucket(port)),
                ],
                rounds=rounds,
            )
    finally:
        shutil.rmtree(folder)


def _require(n_bytes: int, wanted: int) -> None:
    if n_bytes != wanted:
        raise AssertionError(f"{n_bytes} of {wanted} bytes came")
