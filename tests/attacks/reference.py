"""The job without any fault, stage by stage, and what two folders have in common."""

import hashlib
import os
import shutil
from pathlib import Path

from attacks.forked import Command, Ended, run

STAGES: tuple[str, ...] = (
    "ingestion",
    "image_features",
    "text_features",
    "splitting",
    "training",
    "evaluation",
)
PARAMS = {
    "training": {"training": {"resume": True}},
    "cross_validation": {"splitting": {"folds": 3}, "training": {"resume": True, "epochs": 2}},
}
_BY_BATCH = "site_qc_parts"
"""Cut where runs were cut; the tables that are made of these parts are compared."""
_PICTURES = {".png", ".html", ".h5ad"}
"""Of these only that they are there: pages name times, compressed files need not be alike."""


class Reference:
    """Folders as they are before each stage, and after the last; runs nothing twice."""

    def __init__(self, root: Path) -> None:
        self._root = root
        self.n_writes: dict[str, int] = {}

    def before(self, stage: str) -> Path:
        """A folder in which everything before a stage is done."""
        if stage == "cross_validation":
            return self.after("splitting")
        place = STAGES.index(stage)
        return self.after(STAGES[place - 1]) if place else self._done("demo_gallery", None)

    def after(self, stage: str) -> Path:
        """A folder in which a stage is done, too."""
        return self._done(stage, self.before(stage))

    def _done(self, stage: str, before: Path | None) -> Path:
        folder = self._root / stage
        if not folder.exists():
            if before is None:
                folder.mkdir(parents=True)
            else:
                copy(before, folder)
            ended = run(command(folder, stage))
            assert ended.how == "done", ended
            self.n_writes[stage] = ended.n_writes
        return folder


def command(folder: Path, stage: str, **fault: object) -> Command:
    """A stage with the parameters that all runs of it have here."""
    return Command(folder, (stage,), PARAMS.get(stage, {}), **fault)  # type: ignore[arg-type]


def copy(source: Path, target: Path) -> None:
    """Files under a second name, since none is written in place; a database is copied."""
    shutil.copytree(source, target, copy_function=_named_again)


def _named_again(source: str, target: str) -> None:
    if {".db", ".lock"} & {*Path(source).suffixes}:
        shutil.copy2(source, target)
        return
    try:
        os.link(source, target)
    except OSError:  # another disk
        shutil.copy2(source, target)


def products(folder: Path) -> dict[str, str]:
    """What a run leaves, by path: digests; of versions the newest, of pictures the presence."""
    found: dict[str, str] = {}
    data = folder / "data" / "test"
    for path in sorted(data.rglob("*")):
        parts = path.relative_to(data).parts
        if not path.is_file() or parts[0].startswith(".") or {"checkpoints", _BY_BATCH} & {*parts}:
            continue
        if path.parent.parent.name == path.name:  # <file>/<version>/<file>, in order of versions
            parts = (*parts[:-2], "newest")
        content = b"" if path.suffix in _PICTURES else path.read_bytes()
        found["/".join(parts)] = hashlib.sha256(content).hexdigest()
    return found


def left_half_written(folder: Path) -> list[str]:
    """Files that were being written when a process ended."""
    return sorted(path.name for path in (folder / "data").rglob("*.partial"))


def assert_as_if_nothing_had_been(folder: Path, reference: Path, ended: Ended) -> None:
    """The run has ended, with what an undisturbed one leaves, and nothing half written."""
    assert ended.how == "done", ended
    expected, found = products(reference), products(folder)
    missing = sorted(set(expected) - set(found))
    assert not missing, missing
    differing = sorted(name for name in expected if found[name] != expected[name])
    assert not differing, differing
    half = left_half_written(folder)
    assert not half, half
