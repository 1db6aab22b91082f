"""Which weights decay, and how the learning rate goes."""

import math
from typing import Any

import torch
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR


def build_optimizer(
    model: nn.Module,
    *,
    learning_rate: float,
    weight_decay: float,
    adapter_learning_rate: float | None = None,
) -> AdamW:
    """AdamW; parameters of fewer than two dimensions (biases, norms, scales) do not decay.

    Frozen weights are left out. An adapter's have a learning rate of their own: all tokens, and
    their normalisation, move with them.
    """
    named = [(name, p) for name, p in model.named_parameters() if p.requires_grad]
    towers = [p for name, p in named if "lora_" not in name]
    groups: list[dict[str, Any]] = [
        {"params": [p for p in towers if p.ndim >= 2], "weight_decay": weight_decay},
        {"params": [p for p in towers if p.ndim < 2], "weight_decay": 0.0},
    ]
    adapter = [p for name, p in named if "lora_" in name]
    if adapter and adapter_learning_rate is not None:
        groups.append(
            {"params": adapter, "weight_decay": weight_decay, "lr": adapter_learning_rate}
        )
    return AdamW(groups, lr=learning_rate, fused=True)


def warmup_then_cosine(
    optimizer: torch.optim.Optimizer, *, warmup_steps: int, total_steps: int
) -> LambdaLR:
    """Linear over ``warmup_steps``, then half a cosine to 0 at ``total_steps``.

    The first step takes 1 / ``warmup_steps`` of the learning rate.
    """

    def factor(step: int) -> float:
        if step < warmup_steps:
            return (step + 1) / warmup_steps
        done = (step - warmup_steps) / max(total_steps - warmup_steps, 1)
        return 0.5 * (1 + math.cos(math.pi * min(done, 1.0)))

    return LambdaLR(optimizer, factor)
