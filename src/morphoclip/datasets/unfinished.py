"""Versions that a run has not written whole: some of a node's entries are there, others not yet.

While a node's entries are saved, a note lies in ``<data>/.unfinished`` that lists them. It goes
when all are there; a run that is killed between leaves it, and with it the knowledge which versions
do not belong together.
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path

from morphoclip.files import written_whole
from morphoclip.owner import Owner

UNFINISHED = ".unfinished"


@dataclass(frozen=True)
class UnfinishedVersion:
    """What one node of one run was writing.

    Attributes:
        version: The run's name for it, a time.
        entries: Files of which each version is a folder below, relative to the data folder.
        owner: The run.
    """

    version: str
    entries: tuple[str, ...]
    owner: Owner

    def folders(self, data: Path) -> Iterator[Path]:
        """The folders of this version that are there."""
        yield from (
            folder for entry in self.entries if (folder := data / entry / self.version).is_dir()
        )


class UnfinishedVersions:
    """The notes of one data folder."""

    def __init__(self, data: Path) -> None:
        self._data = data
        self._folder = data / UNFINISHED

    def begin(self, node: str, version: str, entries: tuple[str, ...]) -> Path:
        """Note that a node starts to write these entries; the note's path, to be deleted."""
        path = self._folder / f"{version}.{node}.json"
        with written_whole(path) as partial:
            partial.write_text(json.dumps({"entries": entries, "owner": asdict(Owner.this_run())}))
        return path

    def all(self) -> Mapping[Path, UnfinishedVersion]:
        """What is noted, by the note's path; a note that cannot be read stands for nothing."""
        found = {}
        for path in sorted(self._folder.glob("*.json")):
            try:
                written = json.loads(path.read_text(encoding="utf-8"))
                version = path.name[: -len(".json")].split("Z.", 1)[0] + "Z"
                found[path] = UnfinishedVersion(
                    version, tuple(written["entries"]), Owner(**written["owner"])
                )
            except (OSError, ValueError, KeyError, TypeError):
                continue
        return found

    def of_entry(self, filepath: Path) -> Mapping[str, Owner]:
        """Unfinished versions of a file, by their names, with the runs that write or wrote them."""
        return {
            one.version: one.owner
            for one in self.all().values()
            if any(self._data / entry == filepath for entry in one.entries)
        }
