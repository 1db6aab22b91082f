"""One epoch: a pass over the train wells, and what the validation wells say of it."""

import math
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn.utils import clip_grad_norm_

from morphoclip.metrics.retrieval import mrr_within_modality
from morphoclip.models.embedding import embed, less_offsets
from morphoclip.models.fine_tuned import FineTuned
from morphoclip.models.morphoclip import MorphoCLIP
from morphoclip.plate_effects import condition_offsets
from morphoclip.progress import watched
from morphoclip.training.config import TrainingConfig
from morphoclip.training.controls import carry_to_controls, renew_normalisation
from morphoclip.training.data import TrainingData
from morphoclip.training.distributed import ALONE, World
from morphoclip.training.state import TrainingState
from morphoclip.training.step import accumulate_gradients, loss_of_embeddings
from morphoclip.training.stopping import refuse_infinite_step, refuse_infinite_validation
from morphoclip.wells.sampler import DrawnBy, epoch_batches, epoch_seed, sites_of_epoch

_NOT_MEASURED = {
    "validation_loss": math.nan,
    "validation_loss_above_floor": math.nan,
    "validation_mrr_within_modality": math.nan,
}
_SITES = 1
"""What the draw of sites mixes into an epoch's seed."""


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
    kept = sites_of_epoch(
        data.wells.sites.offsets,
        config.sites_per_well,
        seed=epoch_seed(config.seed, state.epoch, _SITES),
    )
    shown: Iterable[Tensor] = batches
    if isinstance(state.model, FineTuned) and world.is_first:  # a step takes long only there
        shown = watched(batches, f"epoch {state.epoch + 1}", transient=True)
    takes = data.wells.ahead([world.rows_of_rank(rows) for rows in batches], kept)
    for step, (rows, take) in enumerate(zip(shown, takes, strict=True)):
        follows = False
        if isinstance(state.model, FineTuned) and step % state.model.renew_every == 0:
            renew_normalisation(state, data, config, device, kept)
            follows = state.model.follow_constants()
        state.optimizer.zero_grad(set_to_none=True)
        loss = accumulate_gradients(state, data, rows, config, device, world, take)
        if follows:
            carry_to_controls(state, data, config, device, kept)
        world.average_gradients(state.model)
        state.scaler.unscale_(state.optimizer)
        norms.append(clip_grad_norm_(state.model.parameters(), config.grad_clip_norm))
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.scheduler.step()
        with torch.no_grad():
            state.model.logit_scale.clamp_(0, config.max_logit_scale)
        losses.append(loss)
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
    model: MorphoCLIP | FineTuned,
    data: TrainingData,
    config: TrainingConfig,
    device: str,
    world: World,
) -> Tensor:
    """Plate offsets ``(Q, E)`` from the reference wells, held for an epoch."""
    wells_of_rank = data.wells.select(world.rows_of_rank(data.reference))
    embedded = embed(model, wells_of_rank, batch_size=config.wells_at_once, device=device)
    image = world.gather(torch.from_numpy(embedded.image).to(device), len(data.reference))
    return condition_offsets(image, data.plates[data.reference.to(device)], data.conditions)


@torch.no_grad()
def validate(
    state: TrainingState, data: TrainingData, config: TrainingConfig, device: str, world: World
) -> dict[str, float]:
    """Loss, its distance to the least value, and retrieval on the validation wells.

    NaN where there are none.

    Raises:
        InputError: The loss is no number.
    """
    if not len(data.validation):
        return dict(_NOT_MEASURED)
    state.model.eval()
    wells = data.wells.select(data.validation)
    own = data.wells.select(world.rows_of_rank(data.validation))
    embedded = embed(state.model, own, batch_size=config.wells_at_once, device=device)
    image = world.gather(torch.from_numpy(embedded.image).to(device), len(data.validation))
    text = state.model.encode_text(wells.text.to(device))
    loss = floor = 0.0
    for part in torch.arange(len(data.validation)).split(config.batch_size):
        rows = data.validation[part]
        own_loss, own_floor = loss_of_embeddings(
            state, data, rows, image[part], text[wells.prompt_of_well[part]], config
        )
        share = len(rows) / len(data.validation)
        loss += share * own_loss.item()
        floor += share * own_floor.item()
    aligned = less_offsets(image.cpu(), wells, named_offsets(state, data))
    refuse_infinite_validation(loss, state.epoch + 1)
    return {
        "validation_loss": loss,
        "validation_loss_above_floor": loss - floor,
        "validation_mrr_within_modality": mrr_within_modality(
            aligned.numpy(),
            wells.prompt_of_well.numpy(),
            text.cpu().numpy(),
            wells.modality_of_prompts,
        ),
    }


def epoch_rows(data: TrainingData, config: TrainingConfig, *, epoch: int) -> list[Tensor]:
    """Rows of the wells of each batch of an epoch, by seed and epoch alone."""
    return epoch_batches(
        data.train,
        DrawnBy(data.wells.prompt_of_well, data.plates.cpu(), data.plate_rows),
        sampler=config.sampler,
        batch_size=config.batch_size,
        seed=epoch_seed(config.seed, epoch),
        plates_per_block=config.plates_per_block,
    )


def named_offsets(state: TrainingState, data: TrainingData) -> dict[str, Tensor]:
    """Offsets that are not 0, by barcode."""
    rows = zip(data.plate_names, state.plate_offsets.cpu(), strict=True)
    return {plate: offset.clone() for plate, offset in rows if offset.any()}
