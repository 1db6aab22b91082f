"""What of a source is to lie on this machine, how much that is, and bringing it here."""

import logging
from collections import defaultdict
from collections.abc import Iterable, Mapping
from typing import Literal, NamedTuple

from pydantic import Field

from morphoclip.columns import DETAIL, PATH, PLATE, SITE, WELL
from morphoclip.config import Config
from morphoclip.errors import InputError, example_of
from morphoclip.gallery.image_files import ImageFiles
from morphoclip.gallery.named_images import NamedImages
from morphoclip.gallery.source import IngestionConfig, selected_images
from morphoclip.imaging.file_names import Channel, NamePattern
from morphoclip.imaging.sites import index_plates
from morphoclip.progress import bytes_watched, watched
from morphoclip.remote.copies import Copy
from morphoclip.remote.folders import ROOT, RemoteFolder, part_of
from morphoclip.remote.reading import Reader, Unread
from morphoclip.remote.remote_files import RemoteFile

logger = logging.getLogger(__name__)


class FetchConfig(Config):
    """``params:fetch``."""

    what: Literal["images", "profiles"] = Field(
        "images", description="What comes besides metadata: images of plates, or profiles."
    )
    dry_run: bool = Field(False, description="List, measure and say how much it is; fetch nothing.")
    requests: int = Field(32, ge=1, le=1024, description="Files that are asked for at once.")
    stream: bool = Field(
        False, description="Fetch a plate, encode it, verify its features, delete its images."
    )
    max_disk: float | None = Field(
        None, gt=0, le=10**6, description="With stream: GB of disk for images, at most."
    )
    tries: int = Field(8, ge=1, le=100, description="How often a file is asked for.")


class Part(NamedTuple):
    """Files that are listed together, of a folder of a store, and those of them that are wanted."""

    folder: RemoteFolder
    name: str
    files: list[RemoteFile]
    wanted: list[RemoteFile]

    @property
    def copy(self) -> Copy:
        """Where they lie here."""
        assert self.folder.copy is not None
        return self.folder.copy

    def missing(self) -> list[RemoteFile]:
        """Wanted files that do not lie here as they are listed now."""
        return [file for file in self.wanted if not self.copy.is_current(self.name, file)]

    def reader(self, config: FetchConfig) -> Reader:
        """Reads its files."""
        return self.folder.reader.trying(config.tries)

    def keep(self) -> None:
        """Keep what was listed; files that have changed there are deleted here."""
        self.folder.keep(self.name, self.files, [file.path for file in self.wanted])


def bytes_of(files: Iterable[RemoteFile]) -> int:
    """Of files whose sizes are known."""
    return sum(file.size or 0 for file in files)


def _part(folder: RemoteFolder, name: str, files: list[RemoteFile], paths: Iterable[str]) -> Part:
    chosen = set(paths)
    return Part(folder, name, files, [file for file in files if file.path in chosen])


class TablePart(NamedTuple):
    """Folders of a gallery, and how the names of the files in them end that are wanted."""

    folders: list[str]
    end: str = ""


class Tables(NamedTuple):
    """The tables of a gallery: folders below its root, part by part.

    Attributes:
        folder: The gallery's root.
        batch: The batch, which tells its parts from those of others.
        parts: Part -> what it is.
    """

    folder: RemoteFolder | None
    batch: str
    parts: Mapping[str, TablePart]


def list_tables(tables: Tables, parts: Iterable[str]) -> list[Part]:
    """List these parts of a gallery's tables anew.

    Raises:
        InputError: They cannot be listed, or a part is empty.
    """
    if tables.folder is None:
        return []
    listed = []
    for name in parts:
        folders, end = tables.parts[name]
        files = [file for place in folders for file in tables.folder.reader.files(place)]
        wanted = [file.path for file in files if file.path.endswith(end)]
        if not wanted:
            raise InputError(
                f"{tables.folder.url} holds no {name} in {' and '.join(folders)}; check "
                "ingestion.source.root and ingestion.source.batch"
            )
        listed.append(_part(tables.folder, f"{name}-{tables.batch}", files, wanted))
    return listed


def list_images(
    files: ImageFiles, ingestion: IngestionConfig, channels: Mapping[str, Channel]
) -> list[Part]:
    """List the plates' folders anew; wanted are the complete sites' images of these channels.

    Raises:
        InputError: Images are not told apart by their names, a plate is not there, or no site is
            complete.
    """
    if files.remote is None:
        return []
    if files.table is not None or files.read_table is not None:
        raise InputError(
            "fetch copies images that are told apart by their names; those that a LoadData table "
            "lists are read where they are"
        )
    if ingestion.plates is not None and ingestion.barcodes is None:
        raise InputError(
            f"ingestion.plates is {'+'.join(ingestion.plates)}; fetch takes barcodes, or all"
        )
    fresh = files.afresh()
    assert fresh.remote is not None
    images = NamedImages(fresh, NamePattern(ingestion.image_names), channels, ingestion.barcodes)
    plates = list(ingestion.barcodes or images.plates)
    if absent := sorted(set(plates) - set(images.plates)):
        raise InputError(
            f"{len(absent)} plate(s) are not in {files.remote.url}: {example_of(absent)}; there "
            f"are {len(images.plates)}: {example_of(images.plates)}"
        )
    listed = (
        (plate, selected_images(plate, images.of(plate), ingestion))
        for plate in watched(plates, "listing plates")
    )
    site_index, incomplete = index_plates(listed, channels)
    if not incomplete.empty:
        first = incomplete.iloc[0]
        logger.warning(
            "%d site(s) lack a channel and are not fetched, e.g. plate %s well %s site %s: %s",
            len(incomplete),
            *first[[PLATE, WELL, SITE, DETAIL]],
        )
    wanted: dict[str, list[str]] = defaultdict(list)
    for path in site_index[PATH].unique():
        wanted[part_of(path)].append(path)
    return [
        _part(files.remote, name, fresh.remote.listed(name), wanted[name])
        for name in sorted({ROOT, *wanted})
    ]


def fetch_missing(parts: Iterable[Part], config: FetchConfig) -> None:
    """Bring what is missing, part after part; files that cannot be read do not stop the others.

    Raises:
        InputError: Files could not be read; so many after another that the rest was not tried.
    """
    failed: list[tuple[Part, Unread]] = []
    n_came = in_a_row = 0
    for part in parts:
        part.keep()
        missing = part.missing()
        if not missing:
            continue
        arriving = part.reader(config).read_all(missing, at_once=config.requests)
        sized = bytes_watched(
            arriving, f"fetching {part.name}", total=bytes_of(missing), size=_size
        )
        for outcome in sized:
            if isinstance(outcome, Unread):
                failed.append((part, outcome))
                in_a_row += 1
                if in_a_row >= 2 * config.requests:
                    raise InputError(_failures(failed, n_came) + " The rest was not tried.")
            else:
                part.copy.add(*outcome)
                n_came += 1
                in_a_row = 0
    if failed:
        raise InputError(_failures(failed, n_came))


def _failures(failed: list[tuple[Part, Unread]], n_came: int) -> str:
    part, first = failed[0]
    return (
        f"{len(failed)} file(s) could not be fetched, e.g. {part.folder.url}/{first.file.path}: "
        f"{first.reason}. {n_came} came, are whole and stay: run the same command again."
    )


def _size(outcome: tuple[RemoteFile, bytes] | Unread) -> int:
    return 0 if isinstance(outcome, Unread) else len(outcome[1])
