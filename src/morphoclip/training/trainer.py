"""The training loop."""

import hashlib
import json
import logging
import os
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch.amp import GradScaler

from morphoclip.device import resolve_device
from morphoclip.models.morphoclip import (
    ModelConfig,
    ModelShape,
    MorphoCLIP,
    TrainedModel,
    count_parameters,
)
from morphoclip.schemas.evaluation import TRAINING_HISTORY
from morphoclip.splits.manifest import manifest_sha256
from morphoclip.training.config import TrainingConfig
from morphoclip.training.data import TrainingData, training_data
from morphoclip.training.distributed import ALONE, World, launch
from morphoclip.training.epoch import epoch_rows, named_offsets, train_one_epoch, validate
from morphoclip.training.optim import build_optimizer, warmup_then_cosine
from morphoclip.training.state import CheckpointStore, RunCheckpoints, TrainingState
from morphoclip.training.step import precision_of
from morphoclip.training.stopping import (
    is_patience_over,
    refuse_infinite_validation,
    value_to_minimise,
)
from morphoclip.wells.assemble import Wells
from morphoclip.wells.sampler import epoch_seed

logger = logging.getLogger(__name__)

LogEpoch = Callable[[int, Mapping[str, float]], None]


class TrainingResult(NamedTuple):
    """The best weights, and one row per epoch."""

    model: TrainedModel
    history: pd.DataFrame


@dataclass(frozen=True)
class TrainingJob:
    """What a training is about, apart from wells and processes; pickles."""

    manifest: pd.DataFrame
    model: ModelConfig
    training: TrainingConfig
    run: RunCheckpoints
    log_epoch: LogEpoch


def train(
    wells: Wells,
    manifest: pd.DataFrame,
    model_config: ModelConfig,
    config: TrainingConfig,
    checkpoints: CheckpointStore,
    log_epoch: LogEpoch,
) -> TrainingResult:
    """Train on the manifest's train wells, stop by its validation wells, return the best weights.

    With ``training.devices`` above 1, in that many processes.

    Raises:
        InputError: A subset has no wells, the loss is not finite, or the precision needs a GPU.
    """
    device = resolve_device(config.device)
    run = _open_run(checkpoints, wells, manifest, model_config, config)
    job = TrainingJob(manifest, model_config, config, run, log_epoch)
    if config.devices == 1:
        return train_rank(ALONE, device, wells, job)
    result: TrainingResult = launch(
        train_rank, config.devices, device=device, wells=wells, args=(job,)
    )
    return result


def train_rank(world: World, device: str, wells: Wells, job: TrainingJob) -> TrainingResult:
    """The training of one process among those of `world`."""
    config, run = job.training, job.run
    _set_threads(config, world)
    data = training_data(wells, job.manifest, config, device)
    state = initial_state(data, job.model, config, device)
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
        record |= validate(state, data, config, device, world)
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
            job.log_epoch(state.epoch, {k: v for k, v in record.items() if k != "epoch"})

    world.wait()
    best = run.load_best()
    if world.is_first:
        logger.info("best epoch %d of %d", best["epoch"], len(state.history))
    history_rows = state.history
    state.restore(best, world)
    trained = TrainedModel(
        config=job.model,
        shape=ModelShape.of(wells),
        state=best["model"],
        plate_offsets=named_offsets(state, data),
        image_fingerprint=wells.image_fingerprint,
        text_fingerprint=wells.text_fingerprint,
        manifest_sha256=manifest_sha256(job.manifest),
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
        "manifest_sha256": manifest_sha256(manifest),
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


def _set_threads(config: TrainingConfig, world: World) -> None:
    """Torch's threads; processes that train together share the cores."""
    if config.cpu_threads is not None:
        torch.set_num_threads(config.cpu_threads)
    elif world.size > 1:
        torch.set_num_threads(max((os.cpu_count() or 1) // world.size, 1))
