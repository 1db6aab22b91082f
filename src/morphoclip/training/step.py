"""One batch: both towers, the losses, and the precision they are computed in."""

from contextlib import AbstractContextManager
from typing import Any

import torch
from torch import Tensor

from morphoclip.errors import InputError
from morphoclip.losses import cwcl, infonce, label_entropy, replicate_alignment
from morphoclip.plate_effects import align_by_batch_mean, align_by_offset
from morphoclip.training.config import TrainingConfig
from morphoclip.training.data import TrainingData
from morphoclip.training.distributed import World
from morphoclip.training.state import TrainingState


def batch_loss(  # noqa: PLR0913 - what is trained, on what, how, where, and by whom
    state: TrainingState,
    data: TrainingData,
    rows: Tensor,
    config: TrainingConfig,
    device: str,
    world: World,
) -> tuple[Tensor, Tensor]:
    """The loss of a batch of wells, and the least value it could take."""
    model, wells, own = state.model, data.wells, world.own(rows)
    sites = wells.sites.select(own.to(wells.sites.offsets.device)).to(device)
    prompts, plates = wells.prompts[rows].to(device), data.plates[rows.to(device)]
    with _autocast(config, device):
        image = model.encode_image(sites)
        text = model.encode_text(wells.text[wells.prompts[own]].to(device))
    image, text = world.gather(image, len(rows)), world.gather(text, len(rows))
    if config.cwa == "batch_mean" and model.training:
        image = align_by_batch_mean(image, plates)
    elif config.cwa == "condition_offset":
        image = align_by_offset(image, plates, state.plate_offsets)
    if config.loss.name == "infonce":
        loss, floor = infonce(image, text, model.logit_scale), image.new_zeros(())
    else:
        affinity = data.affinity[prompts][:, prompts]
        loss = cwcl(image, text, model.logit_scale, affinity=affinity)
        floor = label_entropy(affinity)
    if config.loss.replicate_weight > 0:
        replicates = replicate_alignment(image, prompts, model.logit_scale)
        loss = loss + config.loss.replicate_weight * replicates
    return loss, floor


def precision_of(config: TrainingConfig, device: str) -> str:
    """`training.precision`, with ``auto`` resolved.

    Raises:
        InputError: fp16 is asked for on a CPU.
    """
    on_gpu = device.startswith("cuda")
    if config.precision == "auto":
        return "fp16" if on_gpu else "fp32"
    if config.precision == "fp16" and not on_gpu:
        raise InputError("training.precision fp16 needs a GPU; take bf16, fp32 or auto on a CPU")
    return config.precision


def _autocast(config: TrainingConfig, device: str) -> AbstractContextManager[Any]:
    precision = precision_of(config, device)
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device.split(":")[0], dtype=dtype, enabled=precision != "fp32")
