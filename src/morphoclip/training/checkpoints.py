"""The files of a training: its best and last epoch, each written whole or not at all."""

import copy
import json
import os
import shutil
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path
from typing import Any, Self

import pandas as pd
import torch

from morphoclip.claims import claimed
from morphoclip.errors import InputError
from morphoclip.files import require_intact, written_whole
from morphoclip.fingerprint import differences

SECONDS_BETWEEN_CHECKPOINTS = 5.0


class RunCheckpoints:
    """Best and last checkpoint of one training run, each written whole or not at all."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self.best_path = folder / "best.pt"
        self.last_path = folder / "last.pt"
        self.result_path = folder / "result.parquet"

    def claimed(self) -> AbstractContextManager[None]:
        """Hold the run: the same training in another process would clear its checkpoints.

        Raises:
            InputError: Another process trains it.
        """
        return claimed(self.folder / ".lock", f"the training {self.folder.name}")

    def describe(self, what: dict[str, Any]) -> None:
        """Write down, for people, what the run's digest stands for."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with written_whole(self.folder / "run.json") as path:
            path.write_text(json.dumps(what, indent=2, sort_keys=True))

    def clear(self) -> None:
        """Delete the checkpoints of an earlier try."""
        self.best_path.unlink(missing_ok=True)
        self.last_path.unlink(missing_ok=True)

    def keep_only(self, result: pd.DataFrame) -> None:
        """Keep of a finished training this table alone."""
        self.folder.mkdir(parents=True, exist_ok=True)
        with written_whole(self.result_path) as path:
            result.to_parquet(path)
        self.clear()

    def kept_result(self) -> pd.DataFrame | None:
        """The table that was kept of a finished training, or None."""
        return pd.read_parquet(self.result_path) if self.result_path.exists() else None

    def delete(self) -> None:
        """Delete the checkpoints and what describes them, once their result is kept elsewhere."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def save_last(self, payload: dict[str, Any]) -> None:
        """Replace the last checkpoint."""
        _save_whole(payload, self.last_path)

    def save_best(self, payload: dict[str, Any]) -> None:
        """Replace the best checkpoint."""
        _save_whole(payload, self.best_path)

    def load_last(self) -> dict[str, Any] | None:
        """The last checkpoint, or None before the first.

        Raises:
            InputError: It is damaged.
        """
        return _load(self.last_path) if self.last_path.exists() else None

    def load_best(self) -> dict[str, Any]:
        """The best checkpoint.

        Raises:
            InputError: It is damaged.
        """
        return _load(self.best_path)


class PendingCheckpoints:
    """Writes best and last epoch of a run at most every few seconds, and when its block ends.

    An epoch of a small training takes less time than its checkpoint takes to reach the disk. A
    process that is killed loses those seconds, and goes on from an earlier epoch to the same end.
    """

    def __init__(self, run: RunCheckpoints) -> None:
        self._run = run
        self._best: dict[str, Any] | None = None
        self._last: dict[str, Any] | None = None
        self._written = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._write()

    def take(self, payload: dict[str, Any], *, is_best: bool) -> None:
        """An epoch is done."""
        self._last = copy.deepcopy(payload)
        if is_best:
            self._best = self._last
        if time.monotonic() - self._written > SECONDS_BETWEEN_CHECKPOINTS:
            self._write()

    def _write(self) -> None:
        if self._best is not None:
            self._run.save_best(self._best)
        if self._last is not None:
            self._run.save_last(self._last)
        self._best = self._last = None
        self._written = time.monotonic()


class CheckpointStore:
    """Checkpoints of all runs below one folder, one sub-folder per digest."""

    def __init__(self, root: Path) -> None:
        self.root = root
        self.opened: list[RunCheckpoints] = []
        self.follows_another = False

    def below(self, name: str) -> Self:
        """A store of its own in a sub-folder."""
        return type(self)(self.root / name)

    def require_resumable(self, digest: str, what: dict[str, Any]) -> None:
        """Refuse to resume a run whose checkpoints are of another configuration, split or data.

        Without any checkpoint there is nothing to confuse it with, and the run starts. So does one
        that follows another (the next member, or members after inner folds): only the first is
        looked for.

        Raises:
            InputError: With the difference to the newest run that there is.
        """
        runs = sorted(self.root.glob("*/run.json"), key=lambda path: path.stat().st_mtime)
        if (
            not runs
            or self.opened
            or self.follows_another
            or (self.root / digest / "run.json").exists()
        ):
            return
        newest = json.loads(runs[-1].read_text())
        mine, theirs = ({key: str(item) for key, item in _flat(run)} for run in (what, newest))
        differing = differences(mine, theirs)
        raise InputError(
            "no checkpoint matches these settings; the newest one differs in "
            f"{'; '.join(differing[:5])}. Go back to its settings, or train without "
            "training.resume"
        )

    def delete_opened(self) -> None:
        """Delete the checkpoints of all runs that were opened, once their results are kept."""
        while self.opened:
            self.opened.pop().delete()

    def delete_all(self) -> None:
        """Delete this store's folder."""
        shutil.rmtree(self.root, ignore_errors=True)

    def run(self, digest: str) -> RunCheckpoints:
        """The checkpoints of the run with this digest."""
        return RunCheckpoints(self.root / digest)

    def open(self, digest: str) -> RunCheckpoints:
        """The checkpoints of the run with this digest, remembered in ``opened``."""
        run = self.run(digest)
        self.opened.append(run)
        return run


def _flat(value: Any, prefix: str = "") -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flat(item, f"{prefix}.{key}" if prefix else key)
    else:
        yield prefix, value


def _save_whole(payload: dict[str, Any], path: Path) -> None:
    with written_whole(path) as partial, partial.open("wb") as file:
        torch.save(payload, file)
        file.flush()
        os.fsync(file.fileno())


def _load(path: Path) -> dict[str, Any]:
    require_intact(path)
    try:
        payload: dict[str, Any] = torch.load(path, map_location="cpu", weights_only=True)
    except Exception as error:  # damaged archives fail in many ways; all mean one thing
        raise InputError(
            f"the checkpoint {path.parent.name}/{path.name} is damaged ({error}); delete it and "
            "train again"
        ) from error
    if not isinstance(payload, dict) or "epoch" not in payload:
        raise InputError(
            f"the checkpoint {path.parent.name}/{path.name} is none; delete it and train again"
        )
    return payload
