"""Images of a bucket on their way while others are encoded; each file is fetched once."""

from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from contextlib import contextmanager

from morphoclip.gallery.fetching import FetchConfig
from morphoclip.gallery.image_files import ImageFiles
from morphoclip.remote.copies import Copy
from morphoclip.remote.folders import RemoteFolder, part_of
from morphoclip.remote.remote_files import RemoteFile
from morphoclip.remote.staging import Room, Staging, require_room_for

Discard = Callable[[Sequence[str]], int]
"""Deletes images that are done with; how many files there were."""

_MOST_LOST = 400
"""A killed run fetches again what was on its way: with ``stream``, one file in so many at most."""
_MEMORY = 2**29
"""Bytes of images that wait in memory to be read."""


@contextmanager
def read_ahead(
    files: ImageFiles,
    plates: Mapping[str, Sequence[str]],
    needed: Collection[str],
    read_twice: Collection[str],
    config: FetchConfig,
    name: str,
) -> Iterator[Discard]:
    """Fetch the images of plates ahead of being read.

    With ``fetch.stream`` they go to the disk, as far ahead as ``fetch.max_disk`` has room, and are
    deleted when their plate is done. Otherwise they wait in memory, except those that are read
    twice. They pass through a folder of their own: what pipeline `fetch` brought is read where it
    lies, and stays. Images on this machine are read where they are.

    Args:
        files: The folder of images.
        plates: Barcode -> paths of its images, in the order in which they are read.
        needed: Paths of images that are read; the others may lie on the disk since before.
        read_twice: Paths of images that are read before the others, and again with them.
        config: `params:fetch`.
        name: Of the feature set, whose images pass through a folder of its own.

    Raises:
        InputError: A folder cannot be listed, or a plate is larger than the room.
    """
    folder = files.remote
    if folder is None or files.copies is None:
        yield lambda _paths: 0
        return
    passing = folder.passing(files.copies / "passing" / name)
    ordered = {
        plate: sorted(dict.fromkeys(filter(_is_below, paths)), key=_last_but(read_twice))
        for plate, paths in plates.items()
    }
    wanted = {path for path in needed if _is_below(path) and folder.here(path) is None}
    listed = {plate: _listed(folder, passing, paths, wanted) for plate, paths in ordered.items()}
    most = int(config.max_disk * 1e9) if config.max_disk is not None else None
    if config.stream:
        require_room_for(
            {
                plate: sum(f.size or 0 for f in own if f.path in wanted or passing.has(f))
                for plate, own in listed.items()
            },
            most,
        )
    everything = [file for own in listed.values() for file in own]
    at_once = config.requests
    if config.stream:
        at_once = min(at_once, max(len(everything) // _MOST_LOST, 2))
    staging = Staging(
        folder.reader.trying(config.tries),
        passing,
        [file for file in everything if file.path in wanted],
        on_disk={file.path for file in everything} if config.stream else set(read_twice),
        at_once=at_once,
        room=Room(most if config.stream else _MEMORY, of_disk=config.stream),
        others=[file for file in everything if file.path not in wanted],
    )
    with staging.running() as folder.ahead:
        try:
            yield lambda paths: _discard(staging, paths)
        finally:
            folder.ahead = None


def list_now(files: ImageFiles, paths: Collection[str]) -> None:
    """List the folders of these images, so that what is read elsewhere is known by its checksum.

    Raises:
        InputError: A folder cannot be listed.
    """
    folder = files.remote
    if folder is not None:
        lacking = (path for path in paths if _is_below(path) and folder.here(path) is None)
        for part in sorted({part_of(path) for path in lacking}):
            folder.listed_now(part)


def _discard(staging: Staging, paths: Sequence[str]) -> int:
    n_deleted = 0
    for part in sorted({part_of(path) for path in paths}):
        n_deleted += staging.discard(part, [path for path in paths if part_of(path) == part])
    return n_deleted


def _listed(
    folder: RemoteFolder, passing: Copy, paths: Sequence[str], wanted: Collection[str]
) -> list[RemoteFile]:
    """Files as their store lists them now; as before, where nothing of their part is to come."""
    files: dict[str, RemoteFile] = {}
    for part in sorted({part_of(path) for path in paths}):
        own = {path for path in paths if part_of(path) == part}
        if not own.isdisjoint(wanted):
            passing.list_anew(part, folder.listed_now(part), wanted=())
        files |= {file.path: file for file in passing.files(part) if file.path in own}
    return [files.get(path, RemoteFile(path, None)) for path in paths]


def _last_but(paths: Collection[str]) -> Callable[[str], bool]:
    """Sorts these paths before the others."""
    chosen = set(paths)
    return lambda path: path not in chosen


def _is_below(path: str) -> bool:
    return "://" not in path and not path.startswith("/")
