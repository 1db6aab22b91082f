"""Several processes that train one model: launching them, and what they tell each other.

Each rank encodes its own wells of a batch and computes the loss of the whole batch, from the
embeddings of all ranks. The gradient of a gathered embedding is the sum over ranks, and weights get
the mean over ranks: together exactly what one process would compute on the whole batch.
"""

import datetime
import logging
import multiprocessing
import os
import pickle
import shutil
import socket
import threading
import traceback
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from multiprocessing.connection import Connection, wait
from pathlib import Path
from typing import Any, cast

import torch
import torch.distributed as dist
from torch import Tensor, nn

from morphoclip.errors import InputError
from morphoclip.wells.assemble import Wells
from morphoclip.wells.batch import WellBatch


@dataclass(frozen=True)
class World:
    """This process among those that train together."""

    rank: int = 0
    size: int = 1

    @property
    def is_first(self) -> bool:
        """Whether this is the process that writes files and logs."""
        return self.rank == 0

    def rows_of_rank(self, rows: Tensor) -> Tensor:
        """This rank's part of the rows of a batch, ``(N_r,)``, in order."""
        return rows.tensor_split(self.size)[self.rank]

    def gather(self, part: Tensor, n_rows: int) -> Tensor:
        """All ranks' rows ``(n_rows, E)``, in the order of the batch."""
        if self.size == 1:
            return part
        sizes = [len(part) for part in torch.arange(n_rows).tensor_split(self.size)]
        gathered: Tensor = _GatherRows.apply(part, sizes, self.rank)  # type: ignore[no-untyped-call]
        return gathered

    def average_gradients(self, model: nn.Module) -> None:
        """Give every rank the mean of all ranks' gradients."""
        if self.size == 1:
            return
        gradients = [p.grad for p in model.parameters() if p.grad is not None]
        flat = torch.cat([gradient.flatten() for gradient in gradients])
        dist.all_reduce(flat)
        flat /= self.size
        for gradient, mean in zip(
            gradients, flat.split([g.numel() for g in gradients]), strict=True
        ):
            gradient.copy_(mean.view_as(gradient))

    def wait(self) -> None:
        """Until every rank is here."""
        if self.size > 1:
            dist.barrier()

    def collect(self, tensor: Tensor) -> Tensor:
        """Tensors of one shape from all ranks, stacked ``(W, ...)``."""
        if self.size == 1:
            return tensor.unsqueeze(0)
        parts = [torch.empty_like(tensor) for _ in range(self.size)]
        dist.all_gather(parts, tensor)
        return torch.stack(parts)


ALONE = World()
"""One process: nothing is gathered."""


class _GatherRows(torch.autograd.Function):
    """Rows of all ranks; backward, each rank gets the sum over ranks for its own rows."""

    @staticmethod
    def forward(ctx: Any, rows: Tensor, sizes: list[int], rank: int) -> Tensor:
        ctx.sizes, ctx.rank = sizes, rank
        padded = rows.new_zeros(max(sizes), *rows.shape[1:])
        padded[: len(rows)] = rows
        parts = [torch.empty_like(padded) for _ in sizes]
        dist.all_gather(parts, padded)
        return torch.cat([part[:size] for part, size in zip(parts, sizes, strict=True)])

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> tuple[Tensor, None, None]:
        total = gradients[0].contiguous()
        dist.all_reduce(total)
        return total.split(ctx.sizes)[ctx.rank], None, None


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
        wells: Their tokens are handed over as a file that all ranks map, not as copies.
        folder: Where the file of tokens lies for a moment; it is gone once all ranks have mapped
            it, and a process that was killed before leaves it to the next launch in this folder.
        args: The rest, pickled.

    Raises:
        InputError: There are fewer GPUs than processes, or a rank raised one.
        RuntimeError: A rank died; with its traceback. The others are ended.
    """
    if device.startswith("cuda") and torch.cuda.device_count() < n_processes:
        raise InputError(
            f"training.devices is {n_processes} and there are {torch.cuda.device_count()} GPUs"
        )
    meeting = folder / "processes"
    shutil.rmtree(meeting, ignore_errors=True)
    meeting.mkdir(parents=True, mode=0o700)
    try:
        torch.save(wells.sites.tokens.cpu(), meeting / "tokens.pt")
        without_tokens = replace(
            wells, sites=WellBatch(wells.sites.tokens[:0].cpu(), wells.sites.offsets.cpu())
        )
        task = pickle.dumps((function, device, without_tokens, tuple(args)))
        ranks = [_Rank(World(rank, n_processes), meeting, task) for rank in range(n_processes)]
        return _joined(ranks)
    finally:
        shutil.rmtree(meeting, ignore_errors=True)


class _Rank:
    """One process, and the end of the pipe through which it says how it ended."""

    def __init__(self, world: World, meeting: Path, task: bytes) -> None:
        processes = multiprocessing.get_context("spawn")
        self.outcome, theirs = processes.Pipe(duplex=False)
        self.process = processes.Process(target=_work, args=(world, meeting, task, theirs))
        self.process.start()
        theirs.close()
        self.world = world

    def result(self) -> tuple[str, Any]:
        """``result`` and what it returned, or what went wrong and in which words."""
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


def _joined(ranks: list[_Rank]) -> Any:
    """What the first rank returned, once all are done; the first failure ends all of them."""
    waiting = {rank.outcome: rank for rank in ranks}
    returned = None
    try:
        while waiting:
            for outcome in wait(list(waiting)):
                rank = waiting.pop(cast("Connection[Any, Any]", outcome))
                kind, content = rank.result()
                if kind == "sentence":
                    raise InputError(content)
                if kind != "result":
                    raise RuntimeError(
                        f"rank {rank.world.rank} of {rank.world.size} died, the others were "
                        f"ended: {content}"
                    )
                if rank.world.is_first:
                    returned = content
        for rank in ranks:
            rank.process.join()
        return returned
    finally:
        for rank in ranks:
            rank.end()


def _work(world: World, meeting: Path, task: bytes, outcome: Connection) -> None:
    """One rank: join the others, run the task, and say how it ended."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    threading.Thread(target=_end_with_the_parent, daemon=True).start()
    try:
        function, device, wells, args = pickle.loads(task)  # noqa: S301 - of our own process
        tokens = torch.load(meeting / "tokens.pt", mmap=True, weights_only=True)  # noqa: TID251 - ours
        wells = replace(wells, sites=WellBatch(tokens, wells.sites.offsets))
        if device.startswith("cuda"):
            device = f"cuda:{world.rank}"
            torch.cuda.set_device(device)
        _meet(world, meeting, "nccl" if device.startswith("cuda") else "gloo")
        try:
            result = function(world, device, wells, *args)
            dist.barrier()
        finally:
            dist.destroy_process_group()
        outcome.send(("result", pickle.dumps(result if world.is_first else None)))
    except InputError as error:
        outcome.send(("sentence", str(error)))
    except BaseException:
        outcome.send(("died", traceback.format_exc().strip()))
        raise


def _meet(world: World, meeting: Path, backend: str) -> None:
    """Join the ranks by a file, and exchange tensors over the loopback interface alone."""
    loopback = next(name for _, name in socket.if_nameindex() if name.startswith("lo"))
    os.environ["GLOO_SOCKET_IFNAME"] = os.environ["NCCL_SOCKET_IFNAME"] = loopback
    store = dist.FileStore(  # type: ignore[attr-defined]
        str(meeting / "ranks"), world.size
    )
    dist.init_process_group(
        backend,
        store=store,
        rank=world.rank,
        world_size=world.size,
        timeout=datetime.timedelta(minutes=10),
    )
    dist.barrier()
    if world.is_first:  # all have mapped it
        (meeting / "tokens.pt").unlink()


def _end_with_the_parent() -> None:
    """Ranks of a run that was killed would go on without it."""
    parent = multiprocessing.parent_process()
    assert parent is not None
    wait([parent.sentinel])
    os._exit(1)
