"""The training loop."""

import logging
import os
import time
from typing import Any, NamedTuple

import pandas as pd
import torch
from torch.amp import GradScaler

from morphoclip.backbones.adapter import Adapter
from morphoclip.device import resolve_device
from morphoclip.losses import has_bias
from morphoclip.models.config import ModelConfig, ModelShape
from morphoclip.models.fine_tuned import FineTuned
from morphoclip.models.morphoclip import MorphoCLIP, count_parameters
from morphoclip.models.trained import Member, TrainedModel
from morphoclip.schemas.evaluation import TRAINING_HISTORY
from morphoclip.splits.manifest import manifest_sha256
from morphoclip.training.checkpoints import CheckpointStore, PendingCheckpoints
from morphoclip.training.config import TrainingConfig
from morphoclip.training.controls import renew_normalisation
from morphoclip.training.data import TrainingData, training_data
from morphoclip.training.distributed import ALONE, World
from morphoclip.training.epoch import (
    epoch_rows,
    named_offsets,
    train_one_epoch,
    validate,
)
from morphoclip.training.fine_tuning import (
    FineTuning,
    fingerprint_with,
    refuse_parts_beside_towers,
)
from morphoclip.training.hosts.lead_and_follow import lead
from morphoclip.training.job import LogEpoch, TrainingJob
from morphoclip.training.optim import build_optimizer, warmup_then_cosine
from morphoclip.training.processes import launch
from morphoclip.training.run_identity import find_run, run_description
from morphoclip.training.state import TrainingState, frozen_digest
from morphoclip.training.step import precision_of
from morphoclip.training.stopping import (
    is_patience_over,
    validation_texts,
    value_to_minimise,
)
from morphoclip.wells.assemble import Wells
from morphoclip.wells.sampler import epoch_seed

logger = logging.getLogger(__name__)


class TrainingResult(NamedTuple):
    """The best weights, one row per epoch, and the adapter where the backbone was trained, too."""

    model: TrainedModel
    history: pd.DataFrame
    adapter: Adapter | None = None


def train(
    wells: Wells,
    manifest: pd.DataFrame,
    model_config: ModelConfig,
    config: TrainingConfig,
    checkpoints: CheckpointStore,
    log_epoch: LogEpoch,
    fine_tuning: FineTuning | None = None,
) -> TrainingResult:
    """Train one pair of towers on the manifest's train wells.

    With ``training.stopping`` early the weights are those that its validation wells were best with,
    else those of the last epoch. With ``training.devices`` above 1, in that many processes, and
    with ``training.nodes`` above 1 on so many hosts. With ``fine_tuning``, an adapter of the vision
    backbone is trained, too, on the images of the wells.

    Raises:
        InputError: A subset has no wells, the loss is not finite, the precision needs a GPU, or
            the same training runs in another process.
    """
    if fine_tuning is not None:
        refuse_parts_beside_towers(model_config, config)
    device = resolve_device(config.device)
    what = run_description(wells, manifest, model_config, config, fine_tuning)
    run = find_run(checkpoints, what, resume=config.resume)
    with run.claimed():
        if not config.resume:
            run.clear()
        run.describe(what)
        job = TrainingJob(manifest, model_config, config, run, log_epoch, fine_tuning)
        if config.devices == config.nodes == 1:
            return train_rank(ALONE, device, wells, job)
        result: TrainingResult
        if config.nodes > 1:
            result = lead(train_rank, device, wells, job)
        else:
            result = launch(
                train_rank,
                config.devices,
                device=device,
                wells=wells,
                folder=run.folder,
                args=(job,),
            )
        return result


def train_rank(world: World, device: str, wells: Wells, job: TrainingJob) -> TrainingResult:
    """The training of one process among those of `world`."""
    config, run = job.training, job.run
    _set_threads(config, world)
    data = training_data(wells, job.manifest, config, device)
    state = initial_state(data, job.model, config, device, job.fine_tuning)
    frozen = frozen_digest(state.model)
    if not world.is_first:  # alike weights, other dropout
        torch.manual_seed(epoch_seed(config.seed, 2**20 + world.rank))
    last = world.from_first(run.load_last) if config.resume else None
    if last is not None:
        _go_on_from(last, state, config, world)
    else:
        renew_normalisation(state, data, config, device)
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

    n_texts = validation_texts(data, config)
    last_epoch = min(config.epochs, config.last_epoch or config.epochs)
    with PendingCheckpoints(run) as pending:
        while state.epoch < last_epoch and not is_patience_over(state, config):
            record = {"epoch": float(state.epoch + 1)}
            record |= train_one_epoch(state, data, config, device, world)
            renew_normalisation(state, data, config, device)
            record |= validate(state, data, config, device, world)
            record["n_validation_texts"] = float(n_texts)
            state.epoch += 1
            state.history.append(record)
            value = value_to_minimise(record, config, n_texts)
            is_best = value < state.best_value
            if is_best:
                state.best_value, state.best_epoch = value, state.epoch
            payload = state.to_payload(world)
            if world.is_first:
                pending.take(payload, is_best=is_best)
                job.log_epoch(state.epoch, {k: v for k, v in record.items() if k != "epoch"})

    world.wait()
    best = world.from_first(run.load_best)
    if world.is_first:
        which = "best" if config.stopping == "early" else "last"
        logger.info("%s epoch %d of %d", which, best["epoch"], len(state.history))
    history = pd.DataFrame(state.history)
    history["is_best"] = history["epoch"] == best["epoch"]
    history["n_validation_texts"] = history["n_validation_texts"].astype(int)
    history["training"] = "member 1"
    state.restore(best, world)
    if frozen_digest(state.model) != frozen:
        raise RuntimeError("weights that should stay frozen have changed")
    return _result(state, data, job, history[list(TRAINING_HISTORY.columns)])


def _go_on_from(
    last: dict[str, Any], state: TrainingState, config: TrainingConfig, world: World
) -> None:
    """Restore an epoch; by another number of processes, what is drawn is drawn anew."""
    state.restore(last, world)
    n_before = len(last["rng"])
    if n_before == world.size:
        return
    torch.manual_seed(epoch_seed(config.seed, state.epoch, 2**20 + world.size, world.rank))
    if world.is_first:
        logger.info(
            "%d process(es) trained until epoch %d and %d go on: dropout is drawn anew",
            n_before, state.epoch, world.size,
        )  # fmt: skip


def _result(
    state: TrainingState, data: TrainingData, job: TrainingJob, history: pd.DataFrame
) -> TrainingResult:
    """The model whose weights the state holds."""
    wells, adapter, towers = data.wells, None, state.model
    if isinstance(towers, FineTuned):
        assert job.fine_tuning is not None
        adapter, towers = job.fine_tuning.adapter(towers), towers.towers
    weights = {
        name: weight.detach().cpu().clone()
        for name, weight in towers.state_dict().items()
        if name != "logit_bias"
    }
    trained = TrainedModel(
        config=job.model,
        shape=ModelShape.of(wells),
        members=(Member(weights, named_offsets(state, data), state.epoch),),
        closed_form=None,
        fact_names=wells.fact_names,
        image_fingerprint=fingerprint_with(wells.image_fingerprint, adapter),
        text_fingerprint=wells.text_fingerprint,
        manifest_sha256=manifest_sha256(job.manifest),
        wells_sha256=wells.sha256,
        started_from=job.fine_tuning.start_digest if job.fine_tuning else None,
    )
    return TrainingResult(trained, history, adapter)


def initial_state(
    data: TrainingData,
    model_config: ModelConfig,
    config: TrainingConfig,
    device: str,
    fine_tuning: FineTuning | None = None,
) -> TrainingState:
    """Weights, optimiser and schedule before the first step, by the seed."""
    torch.manual_seed(config.seed)
    towers = MorphoCLIP(
        model_config, ModelShape.of(data.wells), init_temperature=config.init_temperature
    )
    own_texts = data.wells.prompt_of_well[data.train.cpu()].unique()
    towers.prompt_input.fit(data.wells.text[own_texts])
    model: MorphoCLIP | FineTuned = towers
    if fine_tuning is not None:
        model = fine_tuning.model(data.wells, towers, model_config, len(data.plate_names))
    if has_bias(config.loss.name):
        towers.add_logit_bias()
    model = model.to(device)
    optimizer = build_optimizer(
        model,
        learning_rate=config.learning_rate,
        weight_decay=config.weight_decay,
        adapter_learning_rate=fine_tuning.lora.adapter_learning_rate if fine_tuning else None,
    )
    steps = config.epochs * len(epoch_rows(data, config, epoch=0))
    scheduler = warmup_then_cosine(optimizer, warmup_steps=config.warmup_steps, total_steps=steps)
    scaler = GradScaler(device.split(":")[0], enabled=precision_of(config, device) == "fp16")
    offsets = torch.zeros(len(data.plate_names), model_config.output_dim, device=device)
    return TrainingState(model, optimizer, scheduler, scaler, offsets)


def seconds_of_an_epoch(
    wells: Wells, manifest: pd.DataFrame, model_config: ModelConfig, config: TrainingConfig
) -> float:
    """How long one epoch takes here, validation included; nothing is kept of it."""
    device = resolve_device(config.device)
    _set_threads(config, ALONE)
    data = training_data(wells, manifest, config, device)
    state = initial_state(data, model_config, config, device)
    started = time.perf_counter()
    train_one_epoch(state, data, config, device)
    validate(state, data, config, device, ALONE)
    return time.perf_counter() - started


def _set_threads(config: TrainingConfig, world: World) -> None:
    """Torch's threads; processes that train together share the cores."""
    if config.cpu_threads is not None:
        torch.set_num_threads(config.cpu_threads)
    elif world.size > 1:
        torch.set_num_threads(max((os.cpu_count() or 1) // config.devices, 1))
