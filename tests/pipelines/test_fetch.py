"""A bucket's plates come to this machine once, whole, and are read from here."""

import shutil
from collections.abc import Iterator
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer

import pytest
from bucket_plates import Lab, alike, images_of, wanted_of
from faulty_server import in_background, sampled_disk
from s3_server import S3Server, serving

from morphoclip.errors import InputError
from morphoclip.features import plate_extraction
from morphoclip.gallery import fetch_plan
from morphoclip.imaging.grey_levels import sample_sites
from morphoclip.remote.remote_files import content_digest

pytestmark = pytest.mark.usefixtures("short_waits")


class Quiet(SimpleHTTPRequestHandler):
    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server(objects) -> Iterator[S3Server]:
    with serving(objects) as server:
        yield server


@pytest.fixture
def lab(tmp_path, server, at_home) -> Lab:
    return Lab(tmp_path, server, at_home)


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
    place = lab.copies / changed
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
    monkeypatch.setattr(fetch_plan.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match=r"are to be fetched, and 2\.0 GB are free .* parts would"):
        lab.run("fetch")
    assert not server.asked


def test_a_bucket_that_fails_for_good_stops_soon(lab, server) -> None:
    server.fault_of = lambda key, _nth: "500" if key.endswith(".tiff") else None
    with pytest.raises(
        InputError, match=r"could not be fetched, e.g. s3://gallery/lab/images/.*500"
    ):
        lab.run("fetch", fetch={"tries": 2, "requests": 4})
    assert sum(server.faults.values()) < 60


def test_features_straight_from_a_bucket_ask_for_each_image_once(
    lab, server, objects, at_home
) -> None:
    """Those whose grey levels are measured, too; none stays on the disk."""
    lab.run("ingestion", "image_features")
    asked = {key: server.asked[key] for key in images_of(objects)}
    assert {key for key, n in asked.items() if n} == set(wanted_of(objects))
    assert set(asked.values()) == {0, 1}
    assert alike(lab, at_home)
    assert not lab.images_here()
    lab.run("ingestion", "image_features", "verify_features")
    assert {key: server.asked[key] for key in images_of(objects)} == asked


def test_a_streamed_run_holds_little_on_the_disk(lab, server, objects, at_home) -> None:
    sizes: dict[str, int] = {}
    for key in wanted_of(objects):
        folder = key.rsplit("/", 3)[1]
        sizes[folder] = sizes.get(folder, 0) + len(objects[key])
    room = max(sizes.values()) * 1.2
    with sampled_disk(lab.data / "01_raw") as most:
        lab.run("ingestion", "image_features", fetch={"stream": True, "max_disk": room / 1e9})
    assert 0 < max(most) <= room
    assert {server.asked[key] for key in wanted_of(objects)} == {1}
    assert alike(lab, at_home)
    assert not lab.images_here()


@pytest.mark.slow
def test_a_stream_leaves_what_it_did_not_fetch_and_what_could_not_be_used(
    lab, server, objects
) -> None:
    bad = wanted_of(objects)[7]
    server.objects[bad] = b"no TIFF"
    own = lab.copies / wanted_of(objects)[0]
    own.parent.mkdir(parents=True)
    own.write_bytes(b"mine")
    lab.run("ingestion", "image_features", fetch={"stream": True})
    assert own.read_bytes() == b"mine"
    left = {path.name for path in lab.images_here() if path != own}
    stem = bad[: bad.index("ch")]
    assert left == {k.rsplit("/", 1)[1] for k in wanted_of(objects) if stem in k}
    assert len(lab.load("set_aside_sites")) == 2


def test_few_sampled_wells_ask_for_nothing_again_after_a_fetch(
    lab, server, objects, monkeypatch
) -> None:
    """As of a real plate, of whose sites most are not sampled."""
    monkeypatch.setattr(plate_extraction, "sample_sites", partial(sample_sites, wells=2))
    lab.run("fetch")
    asked = server.asked.copy()
    before = lab.images_here()
    lab.run("ingestion", "image_features")
    assert {key: server.asked[key] for key in images_of(objects)} == {
        key: asked[key] for key in images_of(objects)
    }
    assert lab.images_here() == before


@pytest.mark.slow
def test_a_plain_run_deletes_nothing_that_it_did_not_bring(lab, objects) -> None:
    for key in wanted_of(objects):  # as aws s3 sync brings them
        place = lab.copies / key
        place.parent.mkdir(parents=True, exist_ok=True)
        place.write_bytes(objects[key])
    before = lab.images_here()
    lab.run("ingestion", "image_features")
    assert lab.images_here() == before


@pytest.mark.slow
def test_a_dry_run_leaves_everything_as_it_is(lab, server, objects) -> None:
    lab.run("fetch")
    server.objects[wanted_of(objects)[3]] = objects[wanted_of(objects)[4]]
    before = {path: path.stat().st_mtime_ns for path in (lab.data / "01_raw").rglob("*")}
    lab.run("fetch", fetch={"dry_run": True})
    after = {path: path.stat().st_mtime_ns for path in (lab.data / "01_raw").rglob("*")}
    changed = {
        path.name for path in before.keys() | after.keys() if before.get(path) != after.get(path)
    }
    assert changed <= {"fetched.csv", "01_raw"}
    plan = lab.load("fetched_parts")
    assert (plan["files"] - plan["files_here"]).sum() == 1


@pytest.mark.slow
def test_what_is_new_in_the_bucket_is_seen_by_the_next_run(lab, server, objects) -> None:
    lacking = next(k for k in images_of(objects) if k not in wanted_of(objects) and "ch1" in k)
    lab.run("ingestion", "image_features")
    n_rows = len(lab.load("site_index"))
    server.objects[lacking.replace("ch1", "ch5")] = objects[wanted_of(objects)[0]]
    lab.run("ingestion", "image_features")
    assert len(lab.load("site_index")) == n_rows + 5


@pytest.mark.slow
def test_records_name_the_images_that_were_read(lab, server, objects) -> None:
    lab.run("ingestion", "image_features")
    plate = wanted_of(objects)[0].split("/")[-3].partition("__")[0]
    name = lab.load("plate_records")[plate]()["images"]["first"]
    first = next(key for key in wanted_of(objects) if plate in key and key.endswith(name))
    server.objects[first] = objects[wanted_of(objects)[9]]
    for folder in ("site_features", "plate_features"):
        for path in (lab.data / "04_feature" / folder).rglob(f"*{plate}*"):
            shutil.rmtree(path) if path.is_dir() else path.unlink()
    lab.run("ingestion", "image_features")
    made_of = lab.load("plate_records")[plate]()["images"]
    assert made_of["content"] == f"md5:{content_digest(server.objects[first])}"
    lab.run("ingestion", "image_features", "verify_features")


@pytest.mark.slow
def test_a_stream_passes_over_plates_that_are_done(lab) -> None:
    lab.run("ingestion", "image_features")
    lab.run("image_features", fetch={"stream": True, "max_disk": 1e-6})


@pytest.mark.slow
def test_batches_of_one_bucket_lie_beside_each_other(lab, server, objects) -> None:
    other = {key.replace("synthetic", "second"): content for key, content in objects.items()}
    server.objects |= other
    lab.run("fetch")
    first = lab.copied()
    lab.run("fetch", ingestion={"source": lab.source | {"batch": "second"}})
    assert set(first) < set(lab.copied())
    del server.objects["lab/workspace/metadata/platemaps/synthetic/barcode_platemap.csv"]
    lab.run("ingestion")


def test_objects_that_mark_folders_are_no_files(lab, server) -> None:
    for folder in ("lab/", "lab/workspace/metadata/platemaps/synthetic/platemap/"):
        server.objects[folder] = b""
    lab.run("fetch", fetch={"what": "images"}, ingestion={"wells": "A02"})
    assert not [name for name in lab.copied() if name.endswith("/platemap")]


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


def test_one_table_of_wells_and_images_on_this_machine_leave_nothing_to_fetch(
    lab, at_home, tmp_path
) -> None:
    wells = tmp_path / "wells.csv"
    wells.write_text("Metadata_Plate,Metadata_Well\nP,A01\n")
    images = str(at_home.data / "01_raw" / "images" / "synthetic" / "images")
    lab.source |= {"wells": str(wells), "images": images}
    with pytest.raises(InputError, match="nothing of this environment's source lies in a bucket"):
        lab.run("fetch")


@pytest.mark.slow
@pytest.mark.parametrize("first", [[], ["fetch"]])
def test_a_web_server_with_pages_of_links_is_a_source(tmp_path, at_home, caplog, first) -> None:
    caplog.set_level("INFO")
    handler = partial(Quiet, directory=str(at_home.data / "01_raw"))
    with in_background(ThreadingHTTPServer(("127.0.0.1", 0), handler)) as server:
        lab = Lab(tmp_path, server, at_home)
        lab.source["root"] = f"http://127.0.0.1:{server.server_address[1]}"
        lab.run(*first, "ingestion", "image_features")
    assert alike(lab, at_home)
    assert ("not told" in caplog.text) == bool(first)


@pytest.mark.slow
def test_workers_read_a_bucket_and_make_what_one_process_makes(
    lab, server, at_home, tmp_path
) -> None:
    alone = Lab(tmp_path / "alone", server, at_home)
    alone.run("ingestion", "image_features")
    lab.run("ingestion", "image_features", image_features={"executor": "dask"})
    assert alike(lab, alone)
    ours, theirs = lab.load("plate_records"), alone.load("plate_records")
    assert {plate: ours[plate]() for plate in ours} == {p: theirs[p]() for p in theirs}
    assert not lab.images_here()
