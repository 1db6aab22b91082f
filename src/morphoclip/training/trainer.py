"""The training loop."""

import hashlib
import json
import logging
import math
import os
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch import Tensor
from torch.amp import GradScaler
from torch.nn.utils import clip_grad_norm_

from morphoclip.features.extract import resolve_device
from morphoclip.metrics.retrieval import mrr_within_modality
from morphoclip.models.embedding import embed
from morphoclip.models.morphoclip import (
    ModelConfig,
    ModelShape,
    MorphoCLIP,
    TrainedModel,
    count_parameters,
)
from morphoclip.plate_effects import condition_offsets
from morphoclip.schemas import TRAINING_HISTORY
from morphoclip.splits.manifest import checked_sha256
from morphoclip.training.config import TrainingConfig
from morphoclip.training.data import TrainingData, training_data
from morphoclip.training.distributed import ALONE, World, launch
from morphoclip.training.optim import build_optimizer, warmup_then_cosine
from morphoclip.training.state import CheckpointStore, RunCheckpoints, TrainingState
from morphoclip.training.step import batch_loss, precision_of
from morphoclip.training.stopping import (
    is_patience_over,
    refuse_infinite_step,
    refuse_infinite_validation,
    value_to_minimise,
)
from morphoclip.wells.assemble import Wells
from morphoclip.wells.sampler import epoch_batches, epoch_seed

logger = logging.getLogger(__name__)

EpochLog = Callable[[int, Mapping[str, float]], None]


class TrainingResult(NamedTuple):
    """The best weights, and one row an epoch."""

    model: TrainedModel
    history: pd.DataFrame


def train(  # noqa: PLR0913 - what it reads, its two configurations, where it tells
    wells: Wells,
    manifest: pd.DataFrame,
    model_config: ModelConfig,
    config: TrainingConfig,
    checkpoints: CheckpointStore,
    log_epoch: EpochLog,
) -> TrainingResult:
    """Train on the manifest's train wells, stop by its validation wells, return the best weights.

    With ``training.devices`` above 1, in that many processes.

    Raises:
        InputError: A subset has no wells, the loss is not finite, or the precision needs a GPU.
    """
    device = resolve_device(config.device)
    run = _open_run(checkpoints, wells, manifest, model_config, config)
    args = (manifest, model_config, config, run, log_epoch)
    if config.devices == 1:
        return train_rank(ALONE, device, wells, *args)
    result: TrainingResult = launch(
        train_rank, config.devices, device=device, wells=wells, args=args
    )
    return result


def train_rank(  # noqa: PLR0913 - who it is, what it reads, its two configurations, where it tells
    world: World,
    device: str,
    wells: Wells,
    manifest: pd.DataFrame,
    model_config: ModelConfig,
    config: TrainingConfig,
    run: RunCheckpoints,
    log_epoch: EpochLog,
) -> TrainingResult:
    """The training of one process among those of `world`."""
    _set_threads(config, world)
    data = training_data(wells, manifest, config, device)
    state = initial_state(data, model_config, config, device)
    if not world.is_first:  # alike weights, other dropout
        torch.manual_seed(epoch_seed(config.seed, 2**20 + world.rank))
    last = run.load_last() if config.resume else None
    if last is not None:
        state.restore(last, world)
    if world.is_first:
        logger.info(
            "%s run %s: %d wells train, %d validate; %s trainable parameters on %s",
            "training" if last is None else f"resuming after epoch {state.epoch}",
            run.folder.name,
            len(data.train),
            len(data.validation),
            f"{count_parameters(state.model):,}",
            device if world.size == 1 else f"{world.size} processes",
        )

    while state.epoch < config.epochs and not is_patience_over(state, config):
        record = {"epoch": float(state.epoch + 1)}
        record |= train_one_epoch(state, data, config, device, world)
        record |= _validate(state, data, config, device, world)
        refuse_infinite_validation(record)
        state.epoch += 1
        state.history.append(record)
        value = value_to_minimise(record, config)
        is_best = value < state.best_value
        if is_best:
            state.best_value, state.best_epoch = value, state.epoch
        payload = state.to_payload(world)
        if world.is_first:
            if is_best:
                run.save_best(payload)
            run.save_last(payload)
            log_epoch(state.epoch, {k: v for k, v in record.items() if k != "epoch"})

    world.wait()
    best = run.load_best()
    if world.is_first:
        logger.info("best epoch %d of %d", best["epoch"], len(state.history))
    history_rows = state.history
    state.restore(best, world)
    trained = TrainedModel(
        config=model_config,
        shape=ModelShape.of(wells),
        state=best["model"],
        plate_offsets=_named_offsets(state, data),
        image_fingerprint=wells.image_fingerprint,
        text_fingerprint=wells.text_fingerprint,
        manifest_sha256=checked_sha256(manifest),
        wells_sha256=wells.sha256,
        epoch=best["epoch"],
    )
    history = pd.DataFrame(history_rows)
    history["is_best"] = history["epoch"] == best["epoch"]
    return TrainingResult(trained, history[list(TRAINING_HISTORY.columns)])


def initial_state(
    data: TrainingData, model_config: ModelConfig, config: TrainingConfig, device: str
) -> TrainingState:
    """Weights, optimiser and schedule before the first step, by the seed."""
    torch.manual_seed(config.seed)
    model = MorphoCLIP(
        model_config, ModelShape.of(data.wells), init_temperature=config.init_temperature
    ).to(device)
    optimizer = build_optimizer(
        model, learning_rate=config.learning_rate, weight_decay=config.weight_decay
    )
    steps = config.epochs * len(epoch_rows(data, config, epoch=0))
    scheduler = warmup_then_cosine(optimizer, warmup_steps=config.warmup_steps, total_steps=steps)
    scaler = GradScaler(device.split(":")[0], enabled=precision_of(config, device) == "fp16")
    offsets = torch.zeros(len(data.plate_names), model_config.output_dim, device=device)
    return TrainingState(model, optimizer, scheduler, scaler, offsets)


def _open_run(
    checkpoints: CheckpointStore,
    wells: Wells,
    manifest: pd.DataFrame,
    model_config: ModelConfig,
    config: TrainingConfig,
) -> RunCheckpoints:
    """The checkpoints of this very run: configuration, split, features."""
    what: dict[str, Any] = {
        "model": model_config.model_dump(mode="json"),
        "training": config.model_dump(
            mode="json", exclude={"resume", "device", "placement", "cpu_threads", "seeds"}
        ),
        "manifest_sha256": checked_sha256(manifest),
        "wells_sha256": wells.sha256,
        "image_fingerprint": wells.image_fingerprint,
        "text_fingerprint": wells.text_fingerprint,
    }
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
    if config.resume:
        checkpoints.require_resumable(digest, what)
    run = checkpoints.open(digest)
    if not config.resume:
        run.clear()
    run.describe(what)
    return run


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
    own = data.wells.select(world.own(data.reference))
    embedded = embed(model, own, batch_size=config.batch_size, device=device)
    image = world.gather(torch.from_numpy(embedded.image).to(device), len(data.reference))
    return condition_offsets(image, data.plates[data.reference.to(device)], data.conditions)


@torch.no_grad()
def _validate(
    state: TrainingState, data: TrainingData, config: TrainingConfig, device: str, world: World
) -> dict[str, float]:
    state.model.eval()
    loss = floor = 0.0
    for rows in data.validation.split(config.batch_size):
        own_loss, own_floor = batch_loss(state, data, rows, config, device, world)
        share = len(rows) / len(data.validation)
        loss += share * own_loss.item()
        floor += share * own_floor.item()
    wells = data.wells.select(data.validation)
    own = embed(
        state.model,
        data.wells.select(world.own(data.validation)),
        offsets=_named_offsets(state, data),
        batch_size=config.batch_size,
        device=device,
    )
    image = world.gather(torch.from_numpy(own.image).to(device), len(data.validation))
    text = state.model.encode_text(wells.text.to(device))
    return {
        "validation_loss": loss,
        "validation_loss_above_floor": loss - floor,
        "validation_mrr_within_modality": mrr_within_modality(
            image.cpu().numpy(),
            wells.prompts.numpy(),
            text.cpu().numpy(),
            wells.modality_of_prompts,
        ),
    }


def epoch_rows(data: TrainingData, config: TrainingConfig, *, epoch: int) -> list[Tensor]:
    """Rows of the wells of each batch of an epoch, by seed and epoch alone."""
    return epoch_batches(
        data.train,
        data.wells.prompts,
        data.plates.cpu(),
        sampler=config.sampler,
        batch_size=config.batch_size,
        seed=epoch_seed(config.seed, epoch),
    )


def _named_offsets(state: TrainingState, data: TrainingData) -> dict[str, Tensor]:
    """Offsets that are not 0, by barcode."""
    rows = zip(data.plate_names, state.plate_offsets.cpu(), strict=True)
    return {plate: offset.clone() for plate, offset in rows if offset.any()}


def _set_threads(config: TrainingConfig, world: World) -> None:
    """Torch's threads; processes that train together share the cores."""
    if config.cpu_threads is not None:
        torch.set_num_threads(config.cpu_threads)
    elif world.size > 1:
        torch.set_num_threads(max((os.cpu_count() or 1) // world.size, 1))
