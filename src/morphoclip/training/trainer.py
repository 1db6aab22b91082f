"""The training loop."""

import hashlib
import json
import logging
import math
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any, Literal, NamedTuple

import numpy as np
import pandas as pd
import torch
from pydantic import Field
from torch import Tensor
from torch.amp import GradScaler
from torch.nn.utils import clip_grad_norm_

from morphoclip.config import Config
from morphoclip.errors import InputError
from morphoclip.features.extract import resolve_device
from morphoclip.losses import (
    LossConfig,
    cwcl,
    infonce,
    label_entropy,
    prompt_affinity,
    replicate_alignment,
)
from morphoclip.metrics.retrieval import mrr_within_modality
from morphoclip.models.embedding import embed
from morphoclip.models.morphoclip import (
    ModelConfig,
    ModelShape,
    MorphoCLIP,
    TrainedModel,
    count_parameters,
)
from morphoclip.plate_effects import CwaMode, align_wells
from morphoclip.schemas import (
    GENE,
    MODALITY,
    PLATE,
    SUBSET,
    TARGET_LIST,
    TRAINING_HISTORY,
    WELL,
    Subset,
)
from morphoclip.splits.strategies import manifest_sha256
from morphoclip.training.optim import build_optimizer, warmup_then_cosine
from morphoclip.training.state import CheckpointStore, RunCheckpoints, TrainingState
from morphoclip.wells.assemble import Wells
from morphoclip.wells.batch import WellBatch

logger = logging.getLogger(__name__)

EpochLog = Callable[[int, Mapping[str, float]], None]


class EarlyStoppingConfig(Config):
    """``training.early_stopping``."""

    metric: Literal["validation_loss", "validation_mrr_within_modality"] = "validation_loss"
    patience: int = Field(8, ge=1, description="Epochs without a better value.")


class TrainingConfig(Config):
    """``params:training``."""

    loss: LossConfig = LossConfig()
    batch_size: int = Field(512, ge=2, description="Wells.")
    learning_rate: float = Field(1e-4, gt=0)
    weight_decay: float = Field(0.2, ge=0)
    warmup_steps: int = Field(100, ge=0)
    epochs: int = Field(100, ge=1)
    grad_clip_norm: float = Field(1.0, gt=0)
    init_temperature: float = Field(0.07, gt=0)
    max_logit_scale: float = Field(math.log(100), gt=0, description="Natural log.")
    precision: Literal["auto", "fp32", "fp16", "bf16"] = Field(
        "auto", description="auto is fp16 on a GPU and fp32 on a CPU."
    )
    early_stopping: EarlyStoppingConfig = EarlyStoppingConfig()
    cwa: CwaMode = "off"
    placement: Literal["auto", "device", "ram"] = Field(
        "auto",
        description="Where features lie; auto is the device when they fill under half of it.",
    )
    device: str = Field("auto", description="auto takes a CUDA device where there is one.")
    cpu_threads: int | None = Field(None, ge=1, description="torch's threads; none is its choice.")
    resume: bool = Field(False, description="Go on from the last checkpoint of this very run.")
    seed: int = 42


class TrainingResult(NamedTuple):
    """The best weights, and one row an epoch."""

    model: TrainedModel
    history: pd.DataFrame


@dataclass(frozen=True)
class TrainingData:
    """Wells of two subsets, their labels, and where they lie.

    ``affinity`` is ``(P, P)``; ``plates`` is a plate code a well.
    """

    wells: Wells
    sites: WellBatch
    train: Tensor
    validation: Tensor
    affinity: Tensor
    plates: Tensor


def train(  # noqa: PLR0913 - what it reads, its two configurations, where it tells
    wells: Wells,
    manifest: pd.DataFrame,
    model_config: ModelConfig,
    config: TrainingConfig,
    checkpoints: CheckpointStore,
    log_epoch: EpochLog,
) -> TrainingResult:
    """Train on the manifest's train wells, stop by its validation wells, return the best weights.

    Raises:
        InputError: A subset has no wells, the loss is not finite, or the precision needs a GPU.
    """
    device = resolve_device(config.device)
    if config.cpu_threads is not None:
        torch.set_num_threads(config.cpu_threads)
    data = _training_data(wells, manifest, config, device)
    state = _initial_state(wells, data, model_config, config, device)
    run = _open_run(checkpoints, wells, manifest, model_config, config)
    last = run.load_last() if config.resume else None
    if last is not None:
        state.restore(last)
        logger.info("resuming run %s after epoch %d", run.folder.name, state.epoch)
    logger.info(
        "training run %s: %d wells train, %d validate; %s trainable parameters on %s",
        run.folder.name,
        len(data.train),
        len(data.validation),
        f"{count_parameters(state.model):,}",
        device,
    )

    while state.epoch < config.epochs and not _is_patience_over(state, config):
        record = {"epoch": float(state.epoch + 1)}
        record |= _train_one_epoch(state, data, config, device)
        record |= _validate(state.model, data, config, device)
        _refuse_not_finite(record)
        state.epoch += 1
        state.history.append(record)
        value = _value_to_minimise(record, config)
        if value < state.best_value:
            state.best_value, state.best_epoch = value, state.epoch
            run.save_best(state.to_payload())
        run.save_last(state.to_payload())
        log_epoch(state.epoch, {k: v for k, v in record.items() if k != "epoch"})

    best = run.load_best()
    logger.info("best epoch %d of %d", best["epoch"], state.epoch)
    trained = TrainedModel(
        config=model_config,
        shape=ModelShape.of(wells),
        state=best["model"],
        image_fingerprint=wells.image_fingerprint,
        text_fingerprint=wells.text_fingerprint,
        manifest_sha256=manifest_sha256(manifest),
        epoch=best["epoch"],
    )
    history = pd.DataFrame(state.history)
    history["is_best"] = history["epoch"] == best["epoch"]
    return TrainingResult(trained, history[list(TRAINING_HISTORY.columns)])


def wells_of_subset(wells: Wells, manifest: pd.DataFrame, subset: Subset) -> Tensor:
    """Row numbers of a subset's wells.

    Raises:
        InputError: It has none.
    """
    subsets = manifest.set_index([PLATE, WELL])[SUBSET]
    keys = pd.MultiIndex.from_frame(wells.table[[PLATE, WELL]])
    rows = wells.rows_where(pd.Series(subsets.reindex(keys).to_numpy() == str(subset)))
    if len(rows) == 0:
        raise InputError(
            f"no well of the {subset} subset has features: the split manifest and the features "
            "are of different plates; run kedro run --pipeline splitting again"
        )
    return rows


def _training_data(
    wells: Wells, manifest: pd.DataFrame, config: TrainingConfig, device: str
) -> TrainingData:
    sites = wells.sites
    if _fits_on_device(sites, config, device):
        sites = sites.to(device)
    genes = _genes_of_prompts(wells, config.loss)
    return TrainingData(
        wells=wells,
        sites=sites,
        train=wells_of_subset(wells, manifest, Subset.TRAIN),
        validation=wells_of_subset(wells, manifest, Subset.VALIDATION),
        affinity=prompt_affinity(genes, config.loss.target_weight).to(device),
        plates=torch.from_numpy(pd.factorize(wells.table[PLATE])[0].astype(np.int64)).to(device),
    )


def _fits_on_device(sites: WellBatch, config: TrainingConfig, device: str) -> bool:
    if config.placement != "auto" or not device.startswith("cuda"):
        return config.placement == "device"
    free, _ = torch.cuda.mem_get_info()
    return sites.tokens.nbytes < free / 2


def _genes_of_prompts(wells: Wells, config: LossConfig) -> list[frozenset[str]]:
    """Genes that each prompt's wells are of: the target, or all that a compound lists."""
    table = wells.table.assign(prompt=wells.prompts.numpy()).drop_duplicates("prompt")
    table = table.sort_values("prompt")
    listed = table[GENE]
    if config.gene_source == "target_list":
        listed = table[TARGET_LIST].fillna(table[GENE])
    return [frozenset(g.split("|")) if isinstance(g, str) else frozenset() for g in listed]


def _initial_state(
    wells: Wells,
    data: TrainingData,
    model_config: ModelConfig,
    config: TrainingConfig,
    device: str,
) -> TrainingState:
    torch.manual_seed(config.seed)
    model = MorphoCLIP(
        model_config, ModelShape.of(wells), init_temperature=config.init_temperature
    ).to(device)
    optimizer = build_optimizer(
        model, learning_rate=config.learning_rate, weight_decay=config.weight_decay
    )
    steps = config.epochs * len(_batches(data.train, config, epoch=0))
    scheduler = warmup_then_cosine(optimizer, warmup_steps=config.warmup_steps, total_steps=steps)
    scaler = GradScaler(device.split(":")[0], enabled=_precision(config, device) == "fp16")
    return TrainingState(model, optimizer, scheduler, scaler)


def _open_run(
    checkpoints: CheckpointStore,
    wells: Wells,
    manifest: pd.DataFrame,
    model_config: ModelConfig,
    config: TrainingConfig,
) -> RunCheckpoints:
    """The checkpoints of this very run: configuration, split, features."""
    what = {
        "model": model_config.model_dump(mode="json"),
        "training": config.model_dump(
            mode="json", exclude={"resume", "device", "placement", "cpu_threads"}
        ),
        "manifest_sha256": manifest_sha256(manifest),
        "image_fingerprint": wells.image_fingerprint,
        "text_fingerprint": wells.text_fingerprint,
    }
    digest = hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:16]
    run = checkpoints.open(digest)
    run.describe(what)
    return run


def _train_one_epoch(
    state: TrainingState, data: TrainingData, config: TrainingConfig, device: str
) -> dict[str, float]:
    model = state.model
    assert isinstance(model, MorphoCLIP)
    model.train()
    losses, norms = [], []
    for rows in _batches(data.train, config, epoch=state.epoch):
        state.optimizer.zero_grad(set_to_none=True)
        loss, _ = _loss(model, data, rows, config, device, cwa=config.cwa)
        state.scaler.scale(loss).backward()
        state.scaler.unscale_(state.optimizer)
        norms.append(clip_grad_norm_(model.parameters(), config.grad_clip_norm))
        state.scaler.step(state.optimizer)
        state.scaler.update()
        state.scheduler.step()
        with torch.no_grad():
            model.logit_scale.clamp_(0, config.max_logit_scale)
        losses.append(loss.detach())
    return {
        "train_loss": float(torch.stack(losses).mean()),  # the epoch's one wait for the device
        "learning_rate": float(state.scheduler.get_last_lr()[0]),
        "temperature": math.exp(-float(model.logit_scale.detach())),
        "gradient_norm": float(torch.stack(norms).mean()),
    }


@torch.no_grad()
def _validate(
    model: torch.nn.Module, data: TrainingData, config: TrainingConfig, device: str
) -> dict[str, float]:
    assert isinstance(model, MorphoCLIP)
    model.eval()
    loss = floor = 0.0
    for rows in data.validation.split(config.batch_size):
        batch_loss, batch_floor = _loss(model, data, rows, config, device, cwa="off")
        share = len(rows) / len(data.validation)
        loss += share * batch_loss.item()
        floor += share * batch_floor.item()
    return {
        "validation_loss": loss,
        "validation_loss_above_floor": loss - floor,
        "validation_mrr_within_modality": _validation_mrr(model, data, config, device),
    }


def _validation_mrr(
    model: MorphoCLIP, data: TrainingData, config: TrainingConfig, device: str
) -> float:
    table = data.wells.table.iloc[data.validation.numpy()]
    own, prompts = np.unique(data.wells.prompts[data.validation].numpy(), return_inverse=True)
    subset = Wells(
        table=table,
        sites=data.sites.select(data.validation.to(data.sites.offsets.device)),
        prompts=torch.from_numpy(prompts),
        text=data.wells.text[torch.from_numpy(own)],
        digests=tuple(data.wells.digests[row] for row in own),
        image_fingerprint=data.wells.image_fingerprint,
        text_fingerprint=data.wells.text_fingerprint,
    )
    embedded = embed(model, subset, batch_size=config.batch_size, device=device)
    modality = table[MODALITY].to_numpy(dtype=str)[np.unique(prompts, return_index=True)[1]]
    return mrr_within_modality(embedded.image, prompts, embedded.text, modality)


def _loss(  # noqa: PLR0913 - one step's inputs
    model: MorphoCLIP,
    data: TrainingData,
    rows: Tensor,
    config: TrainingConfig,
    device: str,
    *,
    cwa: CwaMode,
) -> tuple[Tensor, Tensor]:
    """The loss of a batch of wells, and the least value it could take."""
    sites = data.sites.select(rows.to(data.sites.offsets.device)).to(device)
    prompts = data.wells.prompts[rows].to(device)
    with _autocast(config, device):
        image = model.encode_image(sites)
        text = model.encode_text(data.wells.text[data.wells.prompts[rows]].to(device))
    image = align_wells(image, data.plates[rows.to(device)], cwa)
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


def _batches(rows: Tensor, config: TrainingConfig, *, epoch: int) -> list[Tensor]:
    """The epoch's batches: its order depends on seed and epoch alone, so a resumed run repeats it.

    A last batch of one well is left out: it has nothing to be told from.
    """
    seed = int(np.random.SeedSequence([config.seed, epoch]).generate_state(1)[0])
    order = rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(seed))]
    return [batch for batch in order.split(config.batch_size) if len(batch) > 1]


def _precision(config: TrainingConfig, device: str) -> str:
    on_gpu = device.startswith("cuda")
    if config.precision == "auto":
        return "fp16" if on_gpu else "fp32"
    if config.precision == "fp16" and not on_gpu:
        raise InputError("training.precision fp16 needs a GPU; take bf16, fp32 or auto on a CPU")
    return config.precision


def _autocast(config: TrainingConfig, device: str) -> AbstractContextManager[Any]:
    precision = _precision(config, device)
    dtype = torch.float16 if precision == "fp16" else torch.bfloat16
    return torch.autocast(device.split(":")[0], dtype=dtype, enabled=precision != "fp32")


def _refuse_not_finite(record: Mapping[str, float]) -> None:
    for name in ("train_loss", "validation_loss"):
        if not math.isfinite(record[name]):
            raise InputError(
                f"the {name} is {record[name]} in epoch {record['epoch']:.0f}; checkpoints of "
                "earlier epochs are kept: lower training.learning_rate, or set training.precision "
                "to fp32"
            )


def _value_to_minimise(record: Mapping[str, float], config: TrainingConfig) -> float:
    value = record[config.early_stopping.metric]
    return value if config.early_stopping.metric == "validation_loss" else -value


def _is_patience_over(state: TrainingState, config: TrainingConfig) -> bool:
    return state.epoch - state.best_epoch >= config.early_stopping.patience and state.epoch > 0
