"""Which weights decay, and how the learning rate goes."""

import math

import torch
from torch import nn
from torch.optim import AdamW
from torch.optim.lr_scheduler import LambdaLR


def build_optimizer(model: nn.Module, *, learning_rate: float, weight_decay: float) -> AdamW:
    """AdamW; parameters of fewer than two dimensions (biases, norms, scales) do not decay."""
    trained = [p for p in model.parameters() if p.requires_grad]
    matrices = [p for p in trained if p.ndim >= 2]
    others = [p for p in trained if p.ndim < 2]
    groups = [
        {"params": matrices, "weight_decay": weight_decay},
        {"params": others, "weight_decay": 0.0},
    ]
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
