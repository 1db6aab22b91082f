"""Several processes that train one model: launching them, and what they tell each other.

Each rank encodes its own wells of a batch and computes the loss of the whole batch, from the
embeddings of all ranks. The gradient of a gathered embedding is the sum over ranks, and weights get
the mean over ranks: together exactly what one process would compute on the whole batch.
"""

import datetime
import logging
import os
import pickle
import re
import tempfile
from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn
from torch.distributed.elastic.multiprocessing.errors import ChildFailedError, record
from torch.distributed.launcher.api import LaunchConfig, elastic_launch

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
    args: Iterable[Any] = (),
) -> Any:
    """Run ``function(world, device, wells, *args)`` in processes of their own.

    Args:
        function: Importable; what the first rank returns has to pickle.
        n_processes: One a device on GPUs.
        device: ``cpu``, or ``cuda`` for one GPU per rank.
        wells: Their tokens are handed over as a file that all ranks map, not as copies.
        args: The rest, pickled.

    Raises:
        InputError: There are fewer GPUs than processes, or a rank raised one.
        RuntimeError: A rank died; with its traceback. The others are ended.
    """
    if device.startswith("cuda") and torch.cuda.device_count() < n_processes:
        raise InputError(
            f"training.devices is {n_processes} and there are {torch.cuda.device_count()} GPUs"
        )
    with tempfile.TemporaryDirectory(prefix="morphoclip-") as name:
        folder = Path(name)
        with (folder / "tokens.pt").open("wb") as file:
            torch.save(wells.sites.tokens.cpu(), file)
        without_tokens = replace(
            wells, sites=WellBatch(wells.sites.tokens[:0].cpu(), wells.sites.offsets.cpu())
        )
        task = folder / "task.pickle"
        task.write_bytes(pickle.dumps((function, device, without_tokens, tuple(args))))
        config = LaunchConfig(
            min_nodes=1,
            max_nodes=1,
            nproc_per_node=n_processes,
            run_id=folder.name,
            rdzv_backend="c10d",
            rdzv_endpoint="localhost:0",
            max_restarts=0,
            start_method="spawn",
            local_addr="localhost",
        )
        try:
            elastic_launch(config, _work)(str(folder))
        except ChildFailedError as error:
            raise _explained(error, n_processes) from error
        return pickle.loads((folder / "result.pickle").read_bytes())


@record
def _work(folder: str) -> None:
    """One rank: join the others, run the task, and let the first rank write its result."""
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    place = Path(folder)
    world = World(int(os.environ["RANK"]), int(os.environ["WORLD_SIZE"]))
    function, device, wells, args = pickle.loads((place / "task.pickle").read_bytes())
    tokens = torch.load(place / "tokens.pt", mmap=True, weights_only=True)  # noqa: TID251 - ours
    wells = replace(wells, sites=WellBatch(tokens, wells.sites.offsets))
    if device.startswith("cuda"):
        device = f"cuda:{world.rank}"
        torch.cuda.set_device(device)
    dist.init_process_group(
        "nccl" if device.startswith("cuda") else "gloo",
        timeout=datetime.timedelta(minutes=10),
    )
    try:
        result = function(world, device, wells, *args)
        if world.is_first:
            partial = place / "result.partial"
            partial.write_bytes(pickle.dumps(result))
            partial.rename(place / "result.pickle")
        dist.barrier()
    finally:
        dist.destroy_process_group()


def _explained(error: ChildFailedError, n_processes: int) -> Exception:
    """The first rank that failed, with its error message."""
    rank, failure = error.get_first_failure()
    message = failure.message
    if isinstance(message, dict):
        message = message["extraInfo"]["py_callstack"]
    match = re.search(r"InputError: (.+)", message)
    if match:
        return InputError(match[1].strip())
    cause = f"signal {-failure.exitcode}" if failure.exitcode < 0 else message.strip()
    return RuntimeError(f"rank {rank} of {n_processes} died, the others were ended: {cause}")
