"""Runs of the project in processes that start in a moment, and faults that strike in them.

The processes are forked from one that has imported everything and done nothing.
"""

import multiprocessing
import os
import signal
import sys
import threading
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass, field
from multiprocessing import forkserver
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Literal

import pytest

_OF_SERVER = {
    "PYTHONPATH": os.pathsep.join(
        [str(Path(__file__).parents[1]), os.environ.get("PYTHONPATH", "")]
    ),
    "OMP_NUM_THREADS": "1",  # threads do not survive forks
    "NUMBA_NUM_THREADS": "1",
    "NUMBA_THREADING_LAYER": "workqueue",
}
_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload(["attacks.imports"])


def _processes() -> Any:
    """Processes forked from a server, which alone has this environment."""
    with pytest.MonkeyPatch.context() as patch:
        for name, value in _OF_SERVER.items():
            patch.setenv(name, value)
        forkserver.ensure_running()
    return _FORKED


When = Literal["before", "after", "half"]


@dataclass(frozen=True)
class Command:
    """``kedro run`` of some pipelines in a folder.

    ``kill_at`` is the number of the write at which the process is killed, counted from 1, and
    ``when``: before the file gets its name, after, or with half of it on disk. ``kill_after`` is a
    number of seconds instead.
    """

    folder: Path
    pipelines: tuple[str, ...] = ()
    params: dict[str, Any] = field(default_factory=dict)
    kill_at: int | None = None
    when: When = "before"
    kill_after: float | None = None


@dataclass(frozen=True)
class Ended:
    """How a process ended: ``done``, ``sentence``, ``traceback`` or ``killed``; and its writes."""

    how: str
    words: str
    n_writes: int = 0


class Started:
    """A run that goes on beside this process."""

    def __init__(self, command: Command) -> None:
        self._outcome, theirs = _processes().Pipe(duplex=False)
        self.process = _processes().Process(target=_child, args=(command, theirs))
        self.process.start()
        theirs.close()

    def end(self, seconds: float = 300) -> Ended:
        """Wait for it."""
        outcome = Ended("killed", "")
        if self._outcome.poll(seconds):
            with suppress(EOFError):
                outcome = Ended(*self._outcome.recv())
        else:
            self.process.kill()
            outcome = Ended("hangs", f"no end within {seconds} s")
        self.process.join()
        self._outcome.close()
        return outcome


def run(command: Command) -> Ended:
    """Run a command to its end, whichever that is."""
    return Started(command).end()


def call(function: Callable[..., Any], *args: Any) -> Any:
    """What a function returns in a process of its own: this one is not to use torch's threads."""
    ours, theirs = _processes().Pipe(duplex=False)
    process = _processes().Process(target=_call, args=(function, args, theirs))
    process.start()
    theirs.close()
    result = ours.recv()
    process.join()
    return result


def _call(function: Callable[..., Any], args: Sequence[Any], outcome: Connection) -> None:
    import torch

    torch.set_num_threads(1)
    outcome.send(function(*args))


def _child(command: Command, outcome: Connection) -> None:
    with open(os.devnull, "w") as nothing:  # noqa: PTH123
        os.dup2(nothing.fileno(), 1)
        os.dup2(nothing.fileno(), 2)
    import torch
    from project import Workspace

    from morphoclip.cli.explain import explain
    from morphoclip.training import checkpoints

    torch.set_num_threads(1)
    checkpoints.SECONDS_BETWEEN_CHECKPOINTS = -1.0  # every epoch is written, as if epochs took long
    writes = [0]
    try:
        with _counted(writes, command), _killed_after(command.kill_after):
            Workspace(command.folder).run(*command.pipelines, **command.params)
    except BaseException as error:
        sentence = explain(error)
        words = sentence or "".join(traceback.format_exception(error))
        outcome.send(("sentence" if sentence else "traceback", words, writes[0]))
    else:
        outcome.send(("done", "", writes[0]))
    outcome.close()
    sys.stdout.flush()
    os._exit(0)


@contextmanager
def _counted(writes: list[int], command: Command) -> Iterator[None]:
    """Count files that get their names; kill this process at one of them."""
    rename, replace = os.rename, os.replace

    def strikes(original: Callable[..., None]) -> Callable[..., None]:
        def named(source: Any, target: Any, **options: Any) -> None:
            is_ours = Path(os.fspath(target)).is_relative_to(command.folder)
            writes[0] += is_ours
            if not is_ours or writes[0] != command.kill_at:
                original(source, target, **options)
                return
            if command.when == "after":
                original(source, target, **options)
            if command.when == "half" and os.path.isfile(source):  # noqa: PTH113
                os.truncate(source, os.path.getsize(source) // 2)  # noqa: PTH202
            os.kill(os.getpid(), signal.SIGKILL)

        return named

    os.rename, os.replace = strikes(rename), strikes(replace)
    try:
        yield
    finally:
        os.rename, os.replace = rename, replace


@contextmanager
def _killed_after(seconds: float | None) -> Iterator[None]:
    if seconds is not None:
        threading.Timer(seconds, os.kill, (os.getpid(), signal.SIGKILL)).start()
    yield
