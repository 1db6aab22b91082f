"""What processes that train one model tell each other.

Each rank encodes its own wells of a batch and computes the loss of the whole batch, from the
embeddings of all ranks. The gradient of a gathered embedding is the sum over ranks, and weights get
the mean over ranks: together exactly what one process would compute on the whole batch.
"""

import io
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.distributed as dist
from torch import Tensor, nn


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

    def from_first(self, read: Callable[[], Any]) -> Any:
        """What the first rank reads, tensors, numbers and text, for all ranks; on the CPU."""
        if self.size == 1:
            return read()
        written = io.BytesIO()
        if self.is_first:
            torch.save(read(), written)
        device = "cuda" if dist.get_backend() == "nccl" else "cpu"
        length = torch.tensor([written.getbuffer().nbytes], device=device)
        dist.broadcast(length, src=0)
        content = torch.empty(int(length), dtype=torch.uint8, device=device)
        if self.is_first:
            content.copy_(torch.frombuffer(written.getbuffer(), dtype=torch.uint8))
        dist.broadcast(content, src=0)
        sent = io.BytesIO(content.cpu().numpy().tobytes())
        return torch.load(sent, map_location="cpu", weights_only=True)  # noqa: TID251 - of a rank


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
