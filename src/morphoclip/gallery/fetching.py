"""What of a source is to lie on this machine, how much that is, and bringing it here."""

import logging
import shutil
import time
from collections import defaultdict
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Literal, NamedTuple

import pandas as pd
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

_KEPT_FREE = 2 * 10**9
"""Bytes of the disk that are left to other things."""
_SECONDS_OF_SAMPLE = 5.0
_FILES_OF_SAMPLE = 64
_SECONDS_PER_HOUR = 3600
_SMALLEST = 10**3
_UNITS = (("TB", 10**12), ("GB", 10**9), ("MB", 10**6))

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
    """Files that are listed together, of a folder of a store."""

    folder: RemoteFolder
    name: str

    @property
    def copy(self) -> Copy:
        """Where they lie here."""
        assert self.folder.copy is not None
        return self.folder.copy

    def missing(self) -> list[RemoteFile]:
        """Wanted files that do not lie here."""
        return [file for file in self.copy.wanted(self.name) if not self.copy.has(file)]


class Tables(NamedTuple):
    """The tables of a gallery: folders below its root, part by part.

    Attributes:
        folder: The gallery's root.
        below: Part -> its folders.
        endings: Part -> how the names of its files end, where not all are wanted.
    """

    folder: RemoteFolder | None
    below: Mapping[str, list[str]]
    endings: Mapping[str, str]


def list_tables(tables: Tables, parts: Iterable[str]) -> list[Part]:
    """List these parts of a gallery's tables anew.

    Raises:
        InputError: They cannot be listed, or a part is empty.
    """
    if tables.folder is None:
        return []
    listed = []
    for name in parts:
        files = [file for place in tables.below[name] for file in tables.folder.reader.files(place)]
        wanted = [file.path for file in files if file.path.endswith(tables.endings.get(name, ""))]
        if not wanted:
            raise InputError(
                f"{tables.folder.url} holds no {name} in {' and '.join(tables.below[name])}; check "
                "ingestion.source.root and ingestion.source.batch"
            )
        part = Part(tables.folder, name)
        tables.folder.keep(name, files, wanted)
        listed.append(part)
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
    parts = [Part(files.remote, name) for name in sorted({ROOT, *wanted})]
    for part in parts:
        files.remote.keep(part.name, fresh.remote.listed(part.name), wanted[part.name])
    return [part for part in parts if wanted[part.name]]


def plan_table(parts: Iterable[Part]) -> pd.DataFrame:
    """Of each part the number of files and bytes, and how many of them lie here."""
    rows = []
    for part in parts:
        wanted = part.copy.wanted(part.name)
        missing = part.missing()
        rows.append(
            {
                "part": part.name,
                "files": len(wanted),
                "bytes": _bytes(wanted),
                "files_here": len(wanted) - len(missing),
                "bytes_here": _bytes(wanted) - _bytes(missing),
            }
        )
    return pd.DataFrame(rows, columns=["part", "files", "bytes", "files_here", "bytes_here"])


def say_plan(plan: pd.DataFrame, folder: Path, megabytes_a_second: float | None) -> None:
    """Log the plan, the disk that there is, and how long it takes at the measured rate."""
    shown = pd.DataFrame(
        {
            "part": plan["part"],
            "files": plan["files"].map("{:,}".format),
            "size": plan["bytes"].map(_said).where(plan["bytes"].gt(0), "not told"),
            "here": plan["files_here"].map("{:,}".format),
        }
    )
    left = int((plan["bytes"] - plan["bytes_here"]).sum())
    lines = [shown.to_string(index=False), f"to fetch: {_said(left)}"]
    lines.append(f"free on the disk: {_said(_free(folder))}")
    if megabytes_a_second:
        hours = left / 1e6 / megabytes_a_second / _SECONDS_PER_HOUR
        took = f"{hours:,.1f} h" if hours >= 1 else f"{max(hours * 60, 0.1):,.1f} min"
        lines.append(f"at the measured {megabytes_a_second:,.1f} MB/s: {took}")
    logger.info("\n".join(lines))


def require_room(plan: pd.DataFrame, folder: Path) -> None:
    """Refuse what the disk does not hold.

    Raises:
        InputError: With what there is, and what would fit.
    """
    left, free = int((plan["bytes"] - plan["bytes_here"]).sum()), _free(folder)
    if left + _KEPT_FREE <= free:
        return
    fitting = plan[(plan["bytes"] - plan["bytes_here"]).cumsum() + _KEPT_FREE <= free]
    raise InputError(
        f"{_said(left)} are to be fetched, and {_said(free)} are free ({_said(_KEPT_FREE)} are "
        f"left to other things): the first {len(fitting)} of {len(plan)} parts would fit; name "
        "fewer plates (ingestion.plates), wells or sites, or another disk (MORPHOCLIP_DATA)"
    )


def measured_rate(parts: Iterable[Part], config: FetchConfig) -> float | None:
    """Megabytes a second of some of what is missing, read and thrown away; None without any."""
    for part in parts:
        if missing := part.missing():
            begun, n_bytes = time.monotonic(), 0
            sample = missing[:: max(1, len(missing) // _FILES_OF_SAMPLE)]
            for outcome in _reader_of(part, config).read_all(sample, at_once=config.requests):
                if not isinstance(outcome, Unread):
                    n_bytes += len(outcome[1])
                if time.monotonic() - begun > _SECONDS_OF_SAMPLE:
                    break
            return n_bytes / 1e6 / max(time.monotonic() - begun, 1e-3)
    return None


def fetch_missing(parts: Iterable[Part], config: FetchConfig) -> None:
    """Bring what is missing, part after part; files that cannot be read do not stop the others.

    Raises:
        InputError: Files could not be read; so many after another that the rest was not tried.
    """
    failed: list[tuple[Part, Unread]] = []
    n_came = in_a_row = 0
    for part in parts:
        missing = part.missing()
        arriving = _reader_of(part, config).read_all(missing, at_once=config.requests)
        sized = bytes_watched(arriving, f"fetching {part.name}", total=_bytes(missing), size=_size)
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


def _reader_of(part: Part, config: FetchConfig) -> Reader:
    return part.folder.reader.trying(config.tries)


def _size(outcome: tuple[RemoteFile, bytes] | Unread) -> int:
    return 0 if isinstance(outcome, Unread) else len(outcome[1])


def _bytes(files: Iterable[RemoteFile]) -> int:
    return sum(file.size or 0 for file in files)


def _said(n_bytes: int) -> str:
    """A number of bytes in the unit that people would choose."""
    unit, size = next(((unit, size) for unit, size in _UNITS if n_bytes >= size), ("kB", _SMALLEST))
    return f"{n_bytes / size:,.1f} {unit}"


def _free(folder: Path) -> int:
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free
