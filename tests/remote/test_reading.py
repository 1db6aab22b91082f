"""Files of a bucket that fails, cuts short, confuses and changes: whole, or a reason."""

import random
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest
from faulty_server import BUCKET, FAULTS
from s3_server import S3Server, serving

from morphoclip.errors import InputError
from morphoclip.remote.reading import Reader, Unread
from morphoclip.remote.remote_files import RemoteFile
from morphoclip.remote.stores import opened_store, options_for

OBJECTS = {f"plates/P1/{n}.tiff": random.Random(n).randbytes(200 + 37 * n) for n in range(40)}
PASSING = ("500", "503", "cut", "short", "wrong")


@pytest.fixture
def server() -> Iterator[S3Server]:
    with serving(OBJECTS) as server:
        yield server


def reader(server: S3Server, tries: int = 8) -> Reader:
    return Reader(opened_store(f"s3://{BUCKET}/plates", server.options), tries)


def listed(server: S3Server) -> list[RemoteFile]:
    return sorted(reader(server).store.files("P1"))


def test_a_bucket_is_listed_with_sizes_and_checksums(server) -> None:
    files = listed(server)
    assert [file.path for file in files] == sorted(key.removeprefix("plates/") for key in OBJECTS)
    assert all(file.size == len(OBJECTS[f"plates/{file.path}"]) for file in files)
    assert all(file.md5 for file in files)
    assert reader(server).entries().folders == ["P1"]


@pytest.mark.parametrize("fault", PASSING)
def test_what_passes_is_read_again(server, fault) -> None:
    server.fault_of = lambda _key, nth: fault if nth < 2 else None
    for file in listed(server)[:3]:
        assert reader(server).read(file) == OBJECTS[f"plates/{file.path}"]
    assert server.faults[fault] == 6


@pytest.mark.parametrize(
    ("fault", "sentence"),
    [
        ("404", "it is listed and no longer there$"),
        ("changed", "it has changed since it was listed$"),
        ("500", "500"),
        ("cut", "body error$"),
        ("short", r"\d+ of \d+ bytes came$"),
    ],
)
def test_what_stays_is_said_with_the_file(server, fault, sentence) -> None:
    server.fault_of = lambda _key, _nth: fault
    with pytest.raises(InputError, match=rf"s3://{BUCKET}/plates/P1/0.tiff cannot be .*{sentence}"):
        reader(server, tries=3).read(listed(server)[0])
    assert server.asked["plates/P1/0.tiff"] == (1 if fault in ("404", "changed") else 3)


def test_a_file_that_was_replaced_is_noticed(server) -> None:
    file = listed(server)[0]
    server.objects["plates/P1/0.tiff"] = bytes(reversed(OBJECTS["plates/P1/0.tiff"]))
    with pytest.raises(InputError, match="has changed since it was listed"):
        reader(server).read(file)


def test_etags_that_are_no_checksums_are_said_and_can_be_passed_over(server) -> None:
    """As in buckets that encrypt with keys of their own."""
    server.etag_of = lambda body: f'"{len(body):032x}"'
    file = listed(server)[0]
    with pytest.raises(
        InputError, match=r"not what its ETag says; .* set ingestion.source.checksums to false"
    ):
        reader(server, tries=2).read(file)
    trusting = Reader(reader(server).store, checksums=False)
    assert trusting.read(file) == OBJECTS[f"plates/{file.path}"]


@pytest.mark.parametrize("seed", range(8))
def test_many_files_come_whole_or_with_a_reason(server, seed) -> None:
    """A fault of some kind at each third request."""
    drawn = random.Random(seed)
    plan = {key: [drawn.choice([*FAULTS, *[None] * 14]) for _ in range(20)] for key in OBJECTS}
    server.fault_of = lambda key, nth: plan[key][nth]
    files = listed(server)
    outcomes = list(reader(server, tries=20).read_all(files, at_once=8))
    assert len(outcomes) == len(files)
    for outcome in outcomes:
        if isinstance(outcome, Unread):
            asked = server.asked[f"plates/{outcome.file.path}"]
            assert plan[f"plates/{outcome.file.path}"][asked - 1] in ("404", "changed")
        else:
            assert outcome[1] == OBJECTS[f"plates/{outcome[0].path}"]


def test_few_contents_are_held_at_a_time(server) -> None:
    left = reader(server).read_all(listed(server), at_once=3)
    next(left)
    assert sum(server.asked.values()) <= 4
    assert len(list(left)) == 39


def test_other_addresses_are_read_alike(tmp_path) -> None:
    (tmp_path / "P1").mkdir()
    (tmp_path / "P1" / "a.tiff").write_bytes(b"abc")
    own = Reader(opened_store(f"file://{tmp_path}", {"anon": True, "endpoint_url": "http://x"}))
    (file,) = own.store.files("P1")
    assert (file.path, file.size) == ("P1/a.tiff", 3)
    assert own.entries().folders == ["P1"]
    assert own.read(file) == b"abc"
    (tmp_path / "P1" / "a.tiff").unlink()
    with pytest.raises(InputError, match="no longer there"):
        own.read(file)


def test_a_bucket_that_is_not_there_is_a_sentence() -> None:
    with serving({}) as server:
        options = server.options
    store = opened_store(f"s3://{BUCKET}/plates", options)
    with pytest.raises(InputError, match="cannot be read: "):
        Reader(store, tries=2).read(RemoteFile("a", 1))


@pytest.mark.parametrize("url", ["gs://bucket/plates", "az://container/plates"])
def test_buckets_of_other_clouds_are_asked_without_credentials(url, monkeypatch) -> None:
    monkeypatch.setenv("AZURE_STORAGE_ACCOUNT_NAME", "lab")
    settings = options_for(url, {"anon": True, "endpoint_url": None, "config_kwargs": {}})
    assert settings in ({"token": "anon"}, {"anon": True})
    assert opened_store(url, {"anon": True})._store.config["skip_signature"] in (True, "true")


def test_region_and_credentials_are_those_of_other_tools(server, monkeypatch, tmp_path) -> None:
    """Keys of a role change while a run goes on; they are asked for again."""
    (tmp_path / "config").write_text("[default]\nregion = eu-west-1\n")
    monkeypatch.setenv("AWS_CONFIG_FILE", str(tmp_path / "config"))
    monkeypatch.setenv("AWS_ACCESS_KEY_ID", "KEY")
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "secret")
    store = opened_store(f"s3://{BUCKET}/plates", server.options | {"anon": False})
    assert store._store.config["region"] == "eu-west-1"
    given = store._store.credential_provider()
    assert given["access_key_id"] == "KEY"
    assert timedelta(0) < given["expires_at"] - datetime.now(UTC) < timedelta(minutes=10)
    assert Reader(store).files("P1")
