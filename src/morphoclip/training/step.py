"""One batch: both towers, the losses, and the precision they are computed in."""

from contextlib import AbstractContextManager
from typing import Any, assert_never

import torch
from torch import Tensor

from morphoclip.errors import InputError
from morphoclip.losses import LossValue, contrastive_loss, replicate_alignment
from morphoclip.plate_effects import align_by_batch_mean, align_by_offset
from morphoclip.training.config import TrainingConfig
from morphoclip.training.data import TrainingData
from morphoclip.training.distributed import World
from morphoclip.training.state import TrainingState


def batch_loss(
    state: TrainingState,
    data: TrainingData,
    rows: Tensor,
    config: TrainingConfig,
    device: str,
    world: World,
) -> LossValue:
    """The loss of a batch of wells, and the least value it could take."""
    model, wells, ranks_rows = state.model, data.wells, world.rows_of_rank(rows)
    sites = wells.sites.select(ranks_rows.to(wells.sites.offsets.device)).to(device)
    prompts, plates = wells.prompt_of_well[rows].to(device), data.plates[rows.to(device)]
    with _autocast(config, device):
        image = model.encode_image(sites)
        text = model.encode_text(wells.text[wells.prompt_of_well[ranks_rows]].to(device))
    image, text = world.gather(image, len(rows)), world.gather(text, len(rows))
    image = _aligned(image, plates, state, config)
    loss, floor = contrastive_loss(
        config.loss.name,
        image,
        text,
        model.logit_scale,
        affinity=data.affinity[prompts][:, prompts],
    )
    if config.loss.replicate_weight > 0:
        replicates = replicate_alignment(image, prompts, model.logit_scale)
        loss = loss + config.loss.replicate_weight * replicates
    return LossValue(loss, floor)


def _aligned(image: Tensor, plates: Tensor, state: TrainingState, config: TrainingConfig) -> Tensor:
    """Embeddings ``(B, E)`` after cross-well alignment; by batch in training only."""
    match config.cwa:
        case "off":
            return image
        case "batch_mean":
            return align_by_batch_mean(image, plates) if state.model.training else image
        case "condition_offset":
            return align_by_offset(image, plates, state.plate_offsets)
        case _:
            assert_never(config.cwa)


def precision_of(config: TrainingConfig, device: str) -> str:
    """`training.precision`, with ``auto`` resolved.

    Raises:
        InputError: fp16 is asked for on a CPU.
    """
    on_gpu = device.startswith("cuda")
    match config.precision:
        case "auto":
            return "fp16" if on_gpu else "fp32"
        case "fp16":
            if not on_gpu:
                raise InputError(
                    "training.precision fp16 needs a GPU; take bf16, fp32 or auto on a CPU"
                )
            return "fp16"
        case "fp32" | "bf16":
            return config.precision
        case _:
            assert_never(config.precision)


def _autocast(config: TrainingConfig, device: str) -> AbstractContextManager[Any]:
    precision = precision_of(config, device)
    dtype = {"fp16": torch.float16, "bf16": torch.bfloat16, "fp32": torch.float32}[precision]
    return torch.autocast(device.split(":")[0], dtype=dtype, enabled=precision != "fp32")
