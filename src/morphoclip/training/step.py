"""One batch: both towers, the losses, and the precision they are computed in."""

from contextlib import AbstractContextManager
from typing import Any, assert_never

import torch
from torch import Tensor

from morphoclip.errors import InputError
from morphoclip.losses import (
    Labels,
    LossValue,
    contrastive_loss,
    needs_tokens,
    replicate_alignment,
)
from morphoclip.plate_effects import align_by_batch_mean, align_by_offset
from morphoclip.training.config import TrainingConfig
from morphoclip.training.data import TrainingData
from morphoclip.training.distributed import World
from morphoclip.training.state import TrainingState
from morphoclip.wells.ahead import Take


def accumulate_gradients(
    state: TrainingState,
    data: TrainingData,
    rows: Tensor,
    config: TrainingConfig,
    device: str,
    world: World,
    take: Take | None = None,
) -> Tensor:
    """The loss of a batch of wells, its gradients added to those of the weights.

    With `training.micro_batch`, in two passes (Gao et al. 2021, arXiv:2101.06983): embeddings
    without a graph, the loss's gradient with respect to them, then each micro-batch once more, with
    the same random numbers, to carry that gradient to the weights. Exactly the gradients of one
    pass, in the memory of one micro-batch. ``take`` gives the sites of wells; by default all sites,
    read now.
    """
    own, take = world.rows_of_rank(rows), take or data.wells.batch
    if config.micro_batch is None or config.micro_batch * world.size >= len(rows):
        loss, _ = batch_loss(state, data, rows, config, device, world, take)
        state.scaler.scale(loss).backward()
        return loss.detach()

    def encode(chunk: Tensor) -> Tensor:
        wells = take(chunk, device)
        with _autocast(config, device):
            return state.model.encode_image(wells)

    chunks = own.split(config.micro_batch)
    generators, parts = [], []
    with torch.no_grad():
        for chunk in chunks:
            generators.append(_generators(device))
            parts.append(encode(chunk))
    embedded = torch.cat(parts).requires_grad_()
    with _autocast(config, device):
        text = _encode_text(state, data, own, device)
    loss, _ = loss_of_embeddings(
        state, data, rows, world.gather(embedded, len(rows)), world.gather(text, len(rows)), config
    )
    state.scaler.scale(loss).backward()
    after = _generators(device)
    assert embedded.grad is not None
    gradients = embedded.grad.split([len(chunk) for chunk in chunks])
    for chunk, generator, gradient in zip(chunks, generators, gradients, strict=True):
        _set_generators(generator, device)
        encode(chunk).backward(gradient)
    _set_generators(after, device)
    return loss.detach()


def batch_loss(
    state: TrainingState,
    data: TrainingData,
    rows: Tensor,
    config: TrainingConfig,
    device: str,
    world: World,
    take: Take | None = None,
) -> LossValue:
    """The loss of a batch of wells, and the least value it could take.

    ``take`` gives the sites of wells; by default all sites, read now.
    """
    own = world.rows_of_rank(rows)
    wells = (take or data.wells.batch)(own, device)
    with _autocast(config, device):
        image = state.model.encode_image(wells)
        text = _encode_text(state, data, own, device)
    image, text = world.gather(image, len(rows)), world.gather(text, len(rows))
    return loss_of_embeddings(state, data, rows, image, text, config)


def loss_of_embeddings(
    state: TrainingState,
    data: TrainingData,
    rows: Tensor,
    image: Tensor,
    text: Tensor,
    config: TrainingConfig,
) -> LossValue:
    """The loss of a batch whose wells and prompts are embedded, ``(B, E)`` each."""
    device = image.device
    prompts, plates = data.wells.prompt_of_well[rows].to(device), data.plates[rows.to(device)]
    image = _aligned(image, plates, state, config)
    loss, floor = contrastive_loss(
        config.loss.name,
        image,
        text,
        state.model.logit_scale,
        Labels(
            data.affinity.of(prompts),
            tokens=_mean_tokens(data, rows, device) if needs_tokens(config.loss.name) else None,
            logit_bias=state.model.logit_bias,
        ),
    )
    if config.loss.replicate_weight > 0:
        replicates = replicate_alignment(image, prompts, state.model.logit_scale)
        loss = loss + config.loss.replicate_weight * replicates
    return LossValue(loss, floor)


def _mean_tokens(data: TrainingData, rows: Tensor, device: torch.device) -> Tensor:
    """Mean over sites of the channel tokens of these wells, ``(B, C, D)``."""
    sites = data.wells.sites.read(rows.to(data.wells.sites.offsets.device))
    return sites.to(str(device)).means()


def _encode_text(state: TrainingState, data: TrainingData, rows: Tensor, device: str) -> Tensor:
    """The embedding of each well's prompt, ``(B, E)``."""
    wells = data.wells
    return state.model.encode_text(wells.text[wells.prompt_of_well[rows]].to(device))


def _generators(device: str) -> tuple[Tensor, Tensor | None]:
    """The states of the random generators that an encoder draws from."""
    on_gpu = device.startswith("cuda")
    return torch.get_rng_state(), torch.cuda.get_rng_state(device) if on_gpu else None


def _set_generators(states: tuple[Tensor, Tensor | None], device: str) -> None:
    torch.set_rng_state(states[0])
    if states[1] is not None:
        torch.cuda.set_rng_state(states[1], device)


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
