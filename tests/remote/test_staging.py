"""Files fetched ahead: each once, in bounded room, none lost."""

import random
import threading
from collections.abc import Iterator

import pytest
from faulty_server import BUCKET
from s3_server import S3Server, serving

from morphoclip.errors import InputError
from morphoclip.remote import staging as staging_module
from morphoclip.remote.folders import RemoteFolder
from morphoclip.remote.staging import Room, Staging, require_room_for

OBJECTS = {f"plates/P{n // 30}/{n:03d}": random.Random(n).randbytes(1000) for n in range(90)}
PATHS = sorted(key.removeprefix("plates/") for key in OBJECTS)


@pytest.fixture
def server() -> Iterator[S3Server]:
    with serving(OBJECTS) as server:
        yield server


@pytest.fixture
def folder(server, tmp_path) -> RemoteFolder:
    folder = RemoteFolder(f"s3://{BUCKET}/plates", server.options, tmp_path)
    for plate in ("P0", "P1", "P2"):
        folder.keep(plate, folder.listed_now(plate), wanted=[])
    return folder


def staging(folder: RemoteFolder, most: int | None, on_disk=PATHS, at_once: int = 4) -> Staging:
    assert folder.copy is not None
    order = [file for plate in ("P0", "P1", "P2") for file in folder.copy.files(plate)]
    return Staging(
        folder.reader,
        folder.copy,
        order,
        on_disk=set(on_disk),
        at_once=at_once,
        room=Room(most, of_disk=set(on_disk) == set(PATHS)),
    )


def test_what_is_read_twice_takes_no_room_in_memory(folder, server) -> None:
    """The sampled sites of a real plate are larger than the room for images on their way."""
    with staging(folder, 4_000, on_disk=PATHS[:25]).running() as ahead:
        for path in [*PATHS[:25], *PATHS]:
            assert ahead.read(path) == OBJECTS[f"plates/{path}"]
        assert ahead.most_held <= 4_000
    assert set(server.asked.values()) == {1}


def test_plates_pass_through_a_disk_that_holds_one_and_a_half(folder, server) -> None:
    with staging(folder, 45_000).running() as ahead:
        for plate in ("P0", "P1", "P2"):
            own = [path for path in PATHS if path.startswith(plate)]
            for _ in range(2):
                assert [ahead.read(path) for path in own] == [OBJECTS[f"plates/{p}"] for p in own]
            assert ahead.discard(plate, own) == 30
        assert 30_000 <= ahead.most_held <= 45_000
    assert set(server.asked.values()) == {1}
    assert not [path for path in folder.copy.place.rglob("*") if path.is_file()]


def test_files_that_lie_there_count_and_are_not_fetched(folder, server) -> None:
    for file in folder.copy.files("P0")[:20]:
        folder.copy.add(file, OBJECTS[f"plates/{file.path}"])
    with staging(folder, 30_000).running() as ahead:
        for path in PATHS[:30]:
            assert ahead.read(path) == OBJECTS[f"plates/{path}"]
    assert sum(server.asked.values()) == 10


def test_a_disk_that_is_full_of_later_plates_is_a_sentence(folder) -> None:
    for file in folder.copy.files("P2"):
        folder.copy.add(file, OBJECTS[f"plates/{file.path}"])
    with staging(folder, 35_000).running() as ahead:
        assert ahead.read(PATHS[0]) == OBJECTS[f"plates/{PATHS[0]}"]
        with pytest.raises(InputError, match=r"there is no room for P0/029: fetch.max_disk is"):
            ahead.read(PATHS[29])


def test_memory_holds_a_few_files_whoever_reads_them(folder, server) -> None:
    """Threads that read in about this order, as sites are read."""
    read: dict[str, bytes] = {}
    with staging(folder, 8_000, on_disk=()).running() as ahead:
        left = iter(PATHS)
        taking = threading.Lock()

        def work() -> None:
            while True:
                with taking:
                    path = next(left, None)
                if path is None:
                    return
                read[path] = ahead.read(path)

        threads = [threading.Thread(target=work) for _ in range(5)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(30)
        assert not any(thread.is_alive() for thread in threads)
        assert ahead.most_held <= 8_000
    assert read == {path: OBJECTS[f"plates/{path}"] for path in PATHS}
    assert set(server.asked.values()) == {1}


def test_what_fails_for_good_is_raised_where_it_is_read(folder, server) -> None:
    server.fault_of = lambda key, _nth: "404" if key.endswith("005") else None
    with staging(folder, None).running() as ahead:
        assert ahead.read(PATHS[4])
        with pytest.raises(InputError, match="P0/005 cannot be read: it is listed and no longer"):
            ahead.read(PATHS[5])
        assert ahead.read(PATHS[6])


def test_a_plate_larger_than_the_room_is_refused() -> None:
    with pytest.raises(InputError, match=r"1 of 2 plate\(s\) take more .* B takes 3\.00: raise it"):
        require_room_for({"A": 10**9, "B": 3 * 10**9}, 2 * 10**9)
    require_room_for({"A": 10**12}, None)


@pytest.mark.parametrize("on_disk", [True, False])
def test_files_of_unknown_size_are_bounded_too(folder, server, monkeypatch, on_disk) -> None:
    """As a web server's pages list them."""
    monkeypatch.setattr(staging_module, "_ASSUMED", 2_000)
    files = [file._replace(size=None) for p in ("P0", "P1") for file in folder.copy.files(p)]
    ahead = Staging(
        folder.reader,
        folder.copy,
        files,
        on_disk={file.path for file in files} if on_disk else set(),
        at_once=2,
        room=Room(10_000, of_disk=on_disk),
    )
    with ahead.running():
        for file in files:
            assert ahead.read(file.path) == OBJECTS[f"plates/{file.path}"]
            ahead.discard(file.path[:2], [file.path])
        assert ahead.most_held <= 10_000
    assert set(server.asked.values()) == {1}


def test_a_file_that_vanishes_is_read_from_the_store(folder) -> None:
    """Which lay here when its turn came, and was deleted by somebody."""
    for file in folder.copy.files("P0"):
        folder.copy.add(file, OBJECTS[f"plates/{file.path}"])
    with staging(folder, None).running() as ahead:
        assert ahead.read(PATHS[80])  # the first ones were passed over
        folder.copy.path_of(PATHS[3]).unlink()
        assert ahead.read(PATHS[3]) == OBJECTS[f"plates/{PATHS[3]}"]
