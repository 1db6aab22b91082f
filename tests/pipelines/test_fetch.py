"""A bucket's plates come to this machine once, whole, and are read from here."""

import random
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from project import Workspace
from s3_server import BUCKET, FAULTS, S3Server, sampled_disk, serving

from morphoclip.errors import InputError
from morphoclip.gallery import fetching
from morphoclip.remote import reading


@pytest.fixture(autouse=True)
def _short_waits(monkeypatch) -> None:
    monkeypatch.setattr(reading, "SECONDS_BETWEEN_TRIES", (0.001, 0.01))


@pytest.fixture(scope="module")
def at_home(tmp_path_factory) -> Workspace:
    """Synthetic plates on a disk, one site without a channel, to features."""
    workspace = Workspace(tmp_path_factory.mktemp("home"))
    workspace.run("demo_gallery")
    next(iter(sorted((workspace.data / "01_raw").rglob("*ch5*.tiff")))).unlink()
    workspace.run("ingestion", "image_features")
    return workspace


@pytest.fixture(scope="module")
def objects(at_home) -> dict[str, bytes]:
    """The same plates in a bucket, with a brightfield channel."""
    root = at_home.data / "01_raw"
    found = {
        f"lab/{path.relative_to(root).as_posix()}": path.read_bytes()
        for path in sorted(root.rglob("*"))
        if path.is_file() and path.relative_to(root).parts[0] in ("images", "workspace")
    }
    dna = [key for key in found if "ch5" in key]
    found |= {key.replace("ch5", "ch8"): found[key] for key in dna}
    return found


@pytest.fixture
def server(objects) -> Iterator[S3Server]:
    with serving(objects) as server:
        yield server


class Lab(Workspace):
    """A machine that has the bucket's address."""

    def __init__(self, folder: Path, server: S3Server, home: Workspace) -> None:
        super().__init__(folder)
        raw = home.data / "01_raw"
        self.source = {
            "root": f"s3://{BUCKET}/lab",
            "endpoint_url": server.endpoint,
            "experiment_metadata": str(raw / "experiment-metadata.tsv"),
            "annotations": str(raw / "compound_annotations.tsv"),
        }

    def run(self, *pipelines: str, **params: Any) -> None:
        ingestion = {"source": self.source} | params.pop("ingestion", {})
        super().run(*pipelines, ingestion=ingestion, **params)

    def copied(self) -> list[str]:
        place = self.data / "01_raw" / "s3" / BUCKET / "lab"
        return sorted(p.relative_to(place).as_posix() for p in place.rglob("*") if p.is_file())


@pytest.fixture
def lab(tmp_path, server, at_home) -> Lab:
    return Lab(tmp_path, server, at_home)


def images_of(objects: dict[str, bytes]) -> list[str]:
    return [key for key in objects if key.endswith(".tiff")]


def wanted_of(objects: dict[str, bytes]) -> list[str]:
    """The files that a run reads: no brightfield, nothing of the incomplete site."""
    images = images_of(objects)
    sites = {key[: key.index("ch")] for key in images if "ch5" in key}
    return [k for k in images if "ch8" not in k and k[: k.index("ch")] in sites]


def test_a_run_after_fetch_asks_the_bucket_for_no_image_again(
    lab, server, objects, at_home
) -> None:
    lab.run("fetch")
    asked = {key: server.asked[key] for key in images_of(objects)}
    assert {key for key, n in asked.items() if n} == set(wanted_of(objects))
    assert set(asked.values()) == {0, 1}
    server.fault_of = lambda key, _nth: "404" if key.endswith((".tiff", ".csv", ".txt")) else None
    lab.run("ingestion", "image_features")
    assert {key: server.asked[key] for key in images_of(objects)} == asked
    ours, theirs = lab.load("plate_features"), at_home.load("plate_features")
    assert set(ours) == set(theirs)
    for plate in ours:
        assert ours[plate]().equals(theirs[plate]())
    assert sum(len(load().sites) for load in ours.values()) == len(wanted_of(objects)) // 5


@pytest.mark.slow
def test_a_second_fetch_fetches_nothing_and_sees_what_is_new(lab, server, objects) -> None:
    lab.run("fetch")
    once = server.asked.copy()
    lab.run("fetch")
    assert server.asked == once
    changed, gone = wanted_of(objects)[3], wanted_of(objects)[11]
    server.objects[changed] = objects[gone]
    lab.run("fetch")
    assert {key for key in server.asked if server.asked[key] != once[key]} == {changed}
    place = lab.data / "01_raw" / "s3" / BUCKET / changed
    assert place.read_bytes() == objects[gone]


@pytest.mark.slow
def test_wells_and_sites_are_chosen_for_fetch_and_ingestion_alike(lab, server, objects) -> None:
    *_, folder, _, name = wanted_of(objects)[-1].split("/")
    plate, well = folder.partition("__")[0], name[:6]
    named = f"{chr(64 + int(well[1:3]))}{int(well[4:6])}"  # as A1, for A01
    chosen = {"wells": named, "sites": 1, "plates": plate}
    lab.run("fetch", ingestion=chosen)
    images = [path for path in lab.copied() if path.endswith(".tiff")]
    assert {path.rsplit("/", 1)[-1][:6] for path in images} == {well}
    assert all(plate in path for path in images)
    lab.run("ingestion", "image_features", ingestion=chosen)
    index = lab.load("site_index")
    assert len(index) == 5
    assert sum(server.asked[key] for key in images_of(objects)) == len(images)
    with pytest.raises(InputError, match=f"{plate} has no image of wells P24, sites all: it has"):
        lab.run("ingestion", ingestion={"wells": "P24", "plates": plate})


def test_a_dry_run_says_how_much_it_is_and_fetches_nothing(lab, objects, caplog) -> None:
    lab.run("fetch", fetch={"dry_run": True})
    said = " ".join(caplog.messages)
    n_images = len(wanted_of(objects))
    plan = lab.load("fetched_parts")
    assert plan["files"].iloc[1:].sum() == n_images
    assert plan["bytes"].iloc[1:].sum() == sum(len(objects[key]) for key in wanted_of(objects))
    assert plan["files_here"].sum() == 0
    assert "MB/s" in said
    assert "nothing was fetched" in said
    assert not lab.copied()


def test_what_does_not_fit_is_refused_before_anything_comes(lab, server, monkeypatch) -> None:
    usage = shutil.disk_usage("/")._replace(free=2 * 10**9 + 100)
    monkeypatch.setattr(fetching.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match=r"are to be fetched, and 2\.0 GB are free .* parts would"):
        lab.run("fetch")
    assert not server.asked


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10))
def test_faults_end_in_right_files_or_a_sentence(lab, server, objects, seed) -> None:
    """At least twenty faults a seed; what stays is named, and the next fetch goes on."""
    drawn = random.Random(seed)
    hit = drawn.sample(wanted_of(objects), 24)
    plan = {key: drawn.choice(FAULTS) for key in hit}
    lasting = {"404", "changed"}
    server.fault_of = lambda key, nth: (
        plan[key] if key in plan and (nth < 2 or plan[key] in lasting) else None
    )
    stays = [key for key in hit if plan[key] in lasting]
    if stays:
        with pytest.raises(InputError, match=r"could not be fetched, e.g. .* run the same command"):
            lab.run("fetch")
    server.fault_of = lambda _key, _nth: None
    asked = server.asked.copy()
    lab.run("fetch")
    assert sum(server.faults.values()) >= 20
    again = {key for key in server.asked if server.asked[key] != asked[key]}
    assert set(stays) <= again
    for key in wanted_of(objects):
        place = lab.data / "01_raw" / "s3" / BUCKET / key
        assert place.read_bytes() == objects[key]


def test_a_bucket_that_fails_for_good_stops_soon(lab, server) -> None:
    server.fault_of = lambda key, _nth: "500" if key.endswith(".tiff") else None
    with pytest.raises(
        InputError, match=r"could not be fetched, e.g. s3://gallery/lab/images/.*500"
    ):
        lab.run("fetch", fetch={"tries": 2, "requests": 4})
    assert sum(server.faults.values()) < 60


def alike(one: Workspace, other: Workspace) -> bool:
    ours, theirs = one.load("plate_features"), other.load("plate_features")
    return set(ours) == set(theirs) and all(ours[p]().equals(theirs[p]()) for p in ours)


def test_features_straight_from_a_bucket_ask_for_each_image_once(
    lab, server, objects, at_home
) -> None:
    """Those whose grey levels are measured, too; none stays on the disk."""
    lab.run("ingestion", "image_features")
    asked = {key: server.asked[key] for key in images_of(objects)}
    assert {key for key, n in asked.items() if n} == set(wanted_of(objects))
    assert set(asked.values()) == {0, 1}
    assert alike(lab, at_home)
    assert not [path for path in lab.copied() if path.endswith(".tiff")]
    lab.run("ingestion", "image_features", "verify_features")
    assert {key: server.asked[key] for key in images_of(objects)} == asked


def test_a_streamed_run_holds_little_on_the_disk(lab, server, objects, at_home) -> None:
    sizes: dict[str, int] = {}
    for key in wanted_of(objects):
        folder = key.rsplit("/", 3)[1]
        sizes[folder] = sizes.get(folder, 0) + len(objects[key])
    room = max(sizes.values()) * 1.2
    with sampled_disk(lab.data / "01_raw" / "s3") as most:
        lab.run("ingestion", "image_features", fetch={"stream": True, "max_disk": room / 1e9})
    assert 0 < max(most) <= room
    assert {server.asked[key] for key in wanted_of(objects)} == {1}
    assert alike(lab, at_home)
    assert not [path for path in lab.copied() if path.endswith(".tiff")]


@pytest.mark.slow
def test_a_stream_leaves_what_nobody_fetched_and_what_could_not_be_used(
    lab, server, objects
) -> None:
    bad = wanted_of(objects)[7]
    server.objects[bad] = b"no TIFF"
    place = lab.data / "01_raw" / "s3" / BUCKET
    own = place / wanted_of(objects)[0].replace("ch", "own")
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    lab.run("ingestion", "image_features", fetch={"stream": True})
    assert own.read_bytes() == b"mine"
    left = {f"lab/{path}" for path in lab.copied() if path.endswith(".tiff")}
    stem = bad[: bad.index("ch")]
    assert left - {str(own.relative_to(place))} == {k for k in wanted_of(objects) if stem in k}
    assert len(lab.load("set_aside_sites")) == 2


def test_a_plate_larger_than_the_room_is_refused_before_anything_comes(lab, server) -> None:
    lab.run("ingestion")
    with pytest.raises(InputError, match=r"3 of 3 plate\(s\) take more than fetch\.max_disk"):
        lab.run("image_features", fetch={"stream": True, "max_disk": 1e-6})
    assert not any(key.endswith(".tiff") for key in server.asked)


def test_profiles_come_with_the_tables_alone(lab, server) -> None:
    server.objects["lab/workspace/profiles/synthetic/P/P_augmented.csv.gz"] = b"x"
    name = "lab/workspace/profiles/synthetic/P/P_normalized_feature_select_negcon_batch.csv.gz"
    server.objects[name] = b"y"
    for key in images_of(server.objects):
        del server.objects[key]  # a bucket that holds no image
    lab.run("fetch", fetch={"what": "profiles"})
    assert name.removeprefix("lab/") in lab.copied()
    assert not any(path.endswith(".tiff") for path in lab.copied())
    assert server.asked["lab/workspace/profiles/synthetic/P/P_augmented.csv.gz"] == 0


def test_a_source_on_this_machine_has_nothing_to_fetch(at_home) -> None:
    with pytest.raises(InputError, match="the source lies on this machine"):
        at_home.run("fetch")
