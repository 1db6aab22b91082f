"""Starting the processes of this machine that train one model, and hearing how they end."""

import datetime
import logging
import multiprocessing
import os
import pickle
import shutil
import signal
import threading
import traceback
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, Protocol, cast

import torch
import torch.distributed as dist
from torch.distributed import DistError, FileStore, PrefixStore, TCPStore  # type: ignore[attr-defined]

from morphoclip.errors import InputError
from morphoclip.training.distributed import World
from morphoclip.training.hosts.rendezvous import loopback
from morphoclip.wells.ahead import write_tokens
from morphoclip.wells.assemble import Wells
from morphoclip.wells.batch import WellBatch, mapped_tokens
from morphoclip.wells.sites_on_disk import SitesOnDisk

_MINUTES_TO_ANSWER = 10
"""How long a rank waits for the others in one exchange."""

_SECONDS_BETWEEN_LOOKS = 1.0


@dataclass(frozen=True)
class Meeting:
    """Where the ranks of this machine meet those of all machines; pickles.

    Attributes:
        folder: Of this machine's ranks, readable by this user alone.
        size: Ranks of all machines.
        first_rank: The first of this machine.
        interface: The network interface that tensors are exchanged over.
        store: Address and port of the leading machine's store; None where one machine trains, whose
            ranks meet through a file.
    """

    folder: Path
    size: int
    first_rank: int
    interface: str
    store: tuple[str, int] | None = None

    def join(self, rank: int, backend: str) -> None:
        """Wait for all ranks; from then on they exchange tensors."""
        os.environ["GLOO_SOCKET_IFNAME"] = self.interface
        os.environ["NCCL_SOCKET_IFNAME"] = f"={self.interface}"  # not also those it begins
        store: Any
        if self.store is None:
            store = FileStore(str(self.folder / "ranks"), self.size)
        else:
            host, port = self.store
            client = TCPStore(host, port, is_master=False, wait_for_workers=False)
            store = PrefixStore("ranks", client)
        dist.init_process_group(
            backend,
            store=store,
            rank=rank,
            world_size=self.size,
            timeout=datetime.timedelta(minutes=_MINUTES_TO_ANSWER),
        )
        dist.barrier()
        if rank == self.first_rank:  # all have mapped it
            self.tokens.unlink(missing_ok=True)

    @property
    def tokens(self) -> Path:
        """The features, as a file that this machine's ranks map."""
        return self.folder / "tokens.npy"


class Watch(Protocol):
    """What else can end the ranks of this machine."""

    def look(self) -> None:
        """Raise what ends them."""
        ...

    def look_for_the_reason(self) -> None:
        """A rank has lost the others: raise what ended them, if that is on another host."""
        ...


class _NothingElse:
    def look(self) -> None: ...

    def look_for_the_reason(self) -> None: ...


def launch(
    function: Callable[..., Any],
    n_processes: int,
    *,
    device: str,
    wells: Wells,
    folder: Path,
    args: Iterable[Any] = (),
) -> Any:
    """Run ``function(world, device, wells, *args)`` in processes of their own on this machine.

    The processes meet through a file that only this user can read, hand their results back through
    pipes, and exchange tensors over the loopback interface: nothing of them listens on a network.

    Args:
        function: Importable; what the first rank returns has to pickle.
        n_processes: One a device on GPUs.
        device: ``cpu``, or ``cuda`` for one GPU per rank.
        wells: Tokens in memory are handed over as a file that all ranks map, not as copies.
        folder: Where the file of tokens lies for a moment; it is gone once all ranks have mapped
            it, and a process that was killed before leaves it to the next launch in this folder.
        args: The rest, pickled.

    Raises:
        InputError: There are fewer GPUs than processes, or a rank raised one.
        RuntimeError: A rank died; with its traceback. The others are ended.
    """
    require_gpus(n_processes, device)
    with private_folder(folder / "processes") as own:
        meeting = Meeting(own, n_processes, first_rank=0, interface=loopback())
        if not isinstance(wells.sites, SitesOnDisk):
            write_tokens(wells.sites, meeting.tokens)
        return run_ranks(function, n_processes, meeting, device, wells, args)


def run_ranks(
    function: Callable[..., Any],
    n_processes: int,
    meeting: Meeting,
    device: str,
    wells: Wells,
    args: Iterable[Any],
    watch: Watch | None = None,
) -> Any:
    """Start this machine's ranks, and wait for them.

    Tokens lie in the meeting's folder, or in files of their own from which each rank reads.

    Raises:
        InputError: A rank raised one, or what is watched ended the ranks.
        RuntimeError: A rank died; with its traceback. The others are ended.
    """
    if isinstance(wells.sites, WellBatch):
        none_of_them = WellBatch(wells.sites.tokens[:0].cpu(), wells.sites.offsets.cpu())
        wells = replace(wells, sites=none_of_them)
    task = pickle.dumps((function, device, wells, tuple(args)))
    if meeting.store is not None:  # where a host dies, torch's stacks say less than our sentence
        os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")
    own = range(meeting.first_rank, meeting.first_rank + n_processes)
    ranks = [_Rank(World(rank, meeting.size), meeting, task) for rank in own]
    return _joined(ranks, watch or _NothingElse())


@contextmanager
def private_folder(path: Path) -> Iterator[Path]:
    """A new folder that only this user can read, gone when the block ends."""
    shutil.rmtree(path, ignore_errors=True)
    path.mkdir(parents=True, mode=0o700)
    try:
        yield path
    finally:
        shutil.rmtree(path, ignore_errors=True)


def require_gpus(n_processes: int, device: str) -> None:
    """One a process.

    Raises:
        InputError: There are fewer.
    """
    if device.startswith("cuda") and torch.cuda.device_count() < n_processes:
        raise InputError(
            f"training.devices is {n_processes} and there are {torch.cuda.device_count()} GPUs"
        )


class _Rank:
    """One process, and the end of the pipe through which it says how it ended."""

    def __init__(self, world: World, meeting: Meeting, task: bytes) -> None:
        processes = multiprocessing.get_context("spawn")
        self.outcome, theirs = processes.Pipe(duplex=False)
        self.process = processes.Process(target=_work, args=(world, meeting, task, theirs))
        self.process.start()
        theirs.close()
        self.world = world

    def result(self) -> tuple[str, Any]:
        """``result`` and what it returned, or how it ended and in which words.

        ``sentence`` for the user, ``lost`` the other ranks, or ``died``.
        """
        try:
            kind, content = self.outcome.recv()
        except EOFError:
            self.process.join()
            code = self.process.exitcode or 0
            return "died", f"signal {-code}" if code < 0 else f"exit status {code}"
        return kind, pickle.loads(content) if kind == "result" else content  # noqa: S301 - of our own process

    def end(self) -> None:
        """Kill it, where it still runs."""
        self.process.kill()
        self.process.join()


def _joined(ranks: list[_Rank], watch: Watch) -> Any:
    """What the first rank returned, once all are done; the first failure ends all of them."""
    waiting = {rank.outcome: rank for rank in ranks}
    returned = None
    try:
        while waiting:
            for outcome in wait(list(waiting), timeout=_SECONDS_BETWEEN_LOOKS):
                rank = waiting.pop(cast("Connection[Any, Any]", outcome))
                kind, content = rank.result()
                if kind == "sentence":
                    raise InputError(content)
                if kind == "lost" or content == f"signal {signal.SIGABRT:d}":
                    watch.look_for_the_reason()
                if kind != "result":
                    raise RuntimeError(
                        f"rank {rank.world.rank} of {rank.world.size} died, the others were "
                        f"ended: {content}"
                    )
                if rank.world.is_first:
                    returned = content
            watch.look()
        for rank in ranks:
            rank.process.join()
        return returned
    finally:
        for rank in ranks:
            rank.end()


def _work(world: World, meeting: Meeting, task: bytes, outcome: Connection) -> None:
    """One rank: join the others, run the task, and say how it ended."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    try:
        function, device, wells, args = pickle.loads(task)  # noqa: S301 - of our own process
        if isinstance(wells.sites, WellBatch):
            tokens = mapped_tokens(meeting.tokens)
            wells = replace(wells, sites=WellBatch(tokens, wells.sites.offsets))
        if device.startswith("cuda"):
            device = f"cuda:{world.rank - meeting.first_rank}"
            torch.cuda.set_device(device)
        meeting.join(world.rank, "nccl" if device.startswith("cuda") else "gloo")
        try:
            result = function(world, device, wells, *args)
            dist.barrier()
        finally:
            dist.destroy_process_group()
        outcome.send(("result", pickle.dumps(result if world.is_first else None)))
    except InputError as error:
        outcome.send(("sentence", str(error)))
    except BaseException as error:
        kind = "lost" if _is_of_another(error) else "died"
        outcome.send((kind, traceback.format_exc().strip()))
        if kind == "died":
            raise


def _is_of_another(error: BaseException) -> bool:
    """Whether the exchange with other ranks failed: gloo's errors have no class of their own."""
    said = str(error)
    is_of_gloo = isinstance(error, RuntimeError) and ("gloo" in said or "NCCL" in said)
    return is_of_gloo or isinstance(error, DistError)


def _end_with_the_parent() -> None:
    """Ranks of a run that was killed would go on without it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
