"""How much is to be fetched, whether it fits, and how long it takes."""

import logging
import shutil
import time
from collections.abc import Iterable
from pathlib import Path

import pandas as pd

from morphoclip.errors import InputError
from morphoclip.gallery.fetching import FetchConfig, Part, bytes_of
from morphoclip.remote.reading import Unread

_KEPT_FREE = 2 * 10**9
"""Bytes of the disk that are left to other things."""
_SECONDS_OF_SAMPLE = 5.0
_FILES_OF_SAMPLE = 64
_SECONDS_PER_HOUR = 3600
_SMALLEST = 10**3
_UNITS = (("TB", 10**12), ("GB", 10**9), ("MB", 10**6))

logger = logging.getLogger(__name__)


def plan_table(parts: Iterable[Part]) -> pd.DataFrame:
    """Of each part the number of files and bytes, and how many of them lie here."""
    rows = []
    for part in parts:
        if not part.wanted:
            continue
        wanted, missing = part.wanted, part.missing()
        rows.append(
            {
                "part": part.name,
                "files": len(wanted),
                "bytes": bytes_of(wanted),
                "files_here": len(wanted) - len(missing),
                "bytes_here": bytes_of(wanted) - bytes_of(missing),
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
            for outcome in part.reader(config).read_all(sample, at_once=config.requests):
                if not isinstance(outcome, Unread):
                    n_bytes += len(outcome[1])
                if time.monotonic() - begun > _SECONDS_OF_SAMPLE:
                    break
            return n_bytes / 1e6 / max(time.monotonic() - begun, 1e-3)
    return None


def _said(n_bytes: int) -> str:
    """A number of bytes in the unit that people would choose."""
    unit, size = next(((unit, size) for unit, size in _UNITS if n_bytes >= size), ("kB", _SMALLEST))
    return f"{n_bytes / size:,.1f} {unit}"


def _free(folder: Path) -> int:
    there = next(path for path in (folder, *folder.absolute().parents) if path.exists())
    return shutil.disk_usage(there).free
