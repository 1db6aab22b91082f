"""One epoch: a pass over the train wells, and what the validation wells say of it."""

import math

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from morphoclip.metrics.retrieval import mrr_within_modality
from morphoclip.models.embedding import embed
from morphoclip.models.morphoclip import (
    MorphoCLIP,
)
from morphoclip.plate_effects import condition_offsets
from morphoclip.training.config import TrainingConfig
from morphoclip.training.data import TrainingData
from morphoclip.training.distributed import ALONE, World
from morphoclip.training.state import TrainingState
from morphoclip.training.step import batch_loss
from morphoclip.training.stopping import (
    refuse_infinite_step,
)
from morphoclip.wells.sampler import epoch_batches, epoch_seed


def train_one_epoch(
    state: TrainingState,
    data: TrainingData,
    config: TrainingConfig,
    device: str,
    world: World = ALONE,
) -> dict[str, float]:
    """One pass over the train wells; what it measured.

    Raises:
        InputError: A batch's loss is not finite; with its wells.
    """
    if config.cwa == "condition_offset":
        state.plate_offsets = _measure_offsets(state.model, data, config, device, world)
    state.model.train()
    losses, norms = [], []
    batches = epoch_rows(data, config, epoch=state.epoch)
    for rows in batches:
        state.optimizer.zero_grad(set_to_none=True)
        loss, _ = batch_loss(state, data, rows, config, device, world)
        state.scaler.scale(loss).backward()
        world.average_gradients(state.model)
        state.scaler.unscale_(state.optimizer)
        norms.append(clip_grad_norm_(state.model.parameters(), config.grad_clip_norm))
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.scheduler.step()
        with torch.no_grad():
            state.model.logit_scale.clamp_(0, config.max_logit_scale)
        losses.append(loss.detach())
    step_losses = torch.stack(losses).cpu()  # the epoch's one wait for the device
    refuse_infinite_step(step_losses, batches, data, state.epoch + 1)
    return {
        "train_loss": float(step_losses.mean()),
        "learning_rate": float(state.scheduler.get_last_lr()[0]),
        "temperature": math.exp(-float(state.model.logit_scale.detach())),
        "gradient_norm": float(torch.stack(norms).mean()),
    }


@torch.no_grad()
def _measure_offsets(
    model: MorphoCLIP, data: TrainingData, config: TrainingConfig, device: str, world: World
) -> Tensor:
    """Plate offsets ``(Q, E)`` from the reference wells, held for an epoch."""
    wells_of_rank = data.wells.select(world.rows_of_rank(data.reference))
    embedded = embed(model, wells_of_rank, batch_size=config.batch_size, device=device)
    image = world.gather(torch.from_numpy(embedded.image).to(device), len(data.reference))
    return condition_offsets(image, data.plates[data.reference.to(device)], data.conditions)


@torch.no_grad()
def validate(
    state: TrainingState, data: TrainingData, config: TrainingConfig, device: str, world: World
) -> dict[str, float]:
    """Loss, its distance to the least value, and retrieval on the validation wells."""
    state.model.eval()
    loss = floor = 0.0
    for rows in data.validation.split(config.batch_size):
        own_loss, own_floor = batch_loss(state, data, rows, config, device, world)
        share = len(rows) / len(data.validation)
        loss += share * own_loss.item()
        floor += share * own_floor.item()
    wells = data.wells.select(data.validation)
    embedded = embed(
        state.model,
        data.wells.select(world.rows_of_rank(data.validation)),
        offsets=named_offsets(state, data),
        batch_size=config.batch_size,
        device=device,
    )
    image = world.gather(torch.from_numpy(embedded.image).to(device), len(data.validation))
    text = state.model.encode_text(wells.text.to(device))
    return {
        "validation_loss": loss,
        "validation_loss_above_floor": loss - floor,
        "validation_mrr_within_modality": mrr_within_modality(
            image.cpu().numpy(),
            wells.prompt_of_well.numpy(),
            text.cpu().numpy(),
            wells.modality_of_prompts,
        ),
    }


def epoch_rows(data: TrainingData, config: TrainingConfig, *, epoch: int) -> list[Tensor]:
    """Rows of the wells of each batch of an epoch, by seed and epoch alone."""
    return epoch_batches(
        data.train,
        data.wells.prompt_of_well,
        data.plates.cpu(),
        sampler=config.sampler,
        batch_size=config.batch_size,
        seed=epoch_seed(config.seed, epoch),
    )


def named_offsets(state: TrainingState, data: TrainingData) -> dict[str, Tensor]:
    """Offsets that are not 0, by barcode."""
    rows = zip(data.plate_names, state.plate_offsets.cpu(), strict=True)
    return {plate: offset.clone() for plate, offset in rows if offset.any()}
