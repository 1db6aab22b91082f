"""What lies here of a store: only what was listed counts, is read and is deleted."""

import pytest

from morphoclip.errors import InputError
from morphoclip.remote.copies import Copy, place_of
from morphoclip.remote.remote_files import RemoteFile, content_digest

URL = "s3://bucket/plates"
FILES = [RemoteFile(f"P1/{name}", 3, f'"{name}"') for name in ("a", "b", "c")]


@pytest.fixture
def copy(tmp_path) -> Copy:
    copy = Copy(URL, tmp_path)
    copy.list_anew("P1", FILES, wanted=["P1/a", "P1/b"])
    for file in FILES[:2]:
        copy.add(file, b"abc")
    return copy


def test_places_follow_addresses(tmp_path) -> None:
    assert place_of(URL, tmp_path) == tmp_path / "s3" / "bucket" / "plates"
    at_lab = tmp_path / "s3" / "minio.lab-9000" / "bucket" / "plates"
    assert place_of(URL, tmp_path, "http://me:secret@minio.lab:9000/") == at_lab
    assert place_of("https://me:secret@x.org/a/../b/", tmp_path) == tmp_path / "https/x.org/a/b"


@pytest.mark.usefixtures("copy")
def test_another_process_finds_what_was_copied(tmp_path) -> None:
    again = Copy(URL, tmp_path)
    assert again.wanted("P1") == FILES[:2]
    assert [again.has(file) for file in FILES] == [True, True, False]
    assert again.listing("P2") is None


def test_a_file_of_another_size_does_not_count(copy) -> None:
    copy.path_of("P1/a").write_bytes(b"ab")
    assert not copy.has(FILES[0])


def test_what_changed_there_is_deleted_here(copy) -> None:
    changed = RemoteFile("P1/a", 3, '"new"')
    copy.list_anew("P1", [changed, FILES[1]], wanted=["P1/a", "P1/b"])
    assert not copy.has(changed)
    assert copy.has(FILES[1])


def test_files_that_nobody_listed_are_never_deleted(copy) -> None:
    own = copy.path_of("P1/own.tiff")
    own.write_bytes(b"mine")
    assert copy.delete("P1", ["P1/own.tiff", "P1/a", "P1/c", "P9/x"]) == 1
    assert own.exists()
    assert not copy.has(FILES[0])


@pytest.mark.parametrize("name", ["../x", "a/../../x", "/etc/passwd"])
def test_names_that_lead_elsewhere_are_refused(copy, name) -> None:
    with pytest.raises(InputError, match="no name of a file in a folder"):
        copy.add(RemoteFile(name, 1), b"x")


@pytest.mark.usefixtures("copy")
def test_a_damaged_listing_is_a_sentence(tmp_path) -> None:
    (table,) = (tmp_path / "listings").rglob("*.parquet")
    table.write_bytes(table.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"is damaged .* run kedro run --pipeline fetch again"):
        Copy(URL, tmp_path).listing("P1")


def test_listings_of_addresses_that_look_alike_are_kept_apart(tmp_path) -> None:
    one, other = Copy("s3://b/a-b", tmp_path), Copy("s3://b/a/b", tmp_path)
    one.list_anew("P1", FILES, wanted=[])
    other.list_anew("P2", FILES, wanted=[])
    assert Copy("s3://b/a-b", tmp_path).listing("P2") is None
    assert Copy("s3://b/a/b", tmp_path).listing("P1") is None


def test_files_of_unknown_origin_count_by_their_content(tmp_path) -> None:
    copy = Copy(URL, tmp_path)
    same, other = (RemoteFile(f"P1/{n}", 3, f'"{content_digest(b"abc")}"') for n in "ab")
    unknown = RemoteFile("P1/c", 3, '"no-md5"')
    for file, content in ((same, b"abc"), (other, b"xyz"), (unknown, b"abc")):
        copy.add(file, content)
    copy.list_anew("P1", [same, other, unknown], wanted=[])
    assert [copy.has(file) for file in (same, other, unknown)] == [True, False, False]


def test_a_file_is_current_as_it_is_listed_now(copy) -> None:
    assert copy.is_current("P1", FILES[0])
    assert not copy.is_current("P1", RemoteFile("P1/a", 3, '"new"'))
    assert not copy.is_current("P1", FILES[2])
