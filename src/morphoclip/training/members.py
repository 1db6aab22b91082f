"""A model of several pairs of towers: how long each is trained, and what they become together."""

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import assert_never

import pandas as pd

from morphoclip.columns import Subset
from morphoclip.models.closed_form import fit_closed_form
from morphoclip.models.config import ModelConfig
from morphoclip.progress import watched
from morphoclip.splits.inner_folds import inner_manifests, with_validation_joined
from morphoclip.splits.manifest import manifest_sha256
from morphoclip.training.checkpoints import CheckpointStore
from morphoclip.training.config import TrainingConfig
from morphoclip.training.run_identity import run_digest
from morphoclip.training.run_log import RunLog
from morphoclip.training.trainer import TrainingResult, train
from morphoclip.wells.assemble import Wells
from morphoclip.wells.sampler import epoch_seed

logger = logging.getLogger(__name__)

_MEMBER = 2**21
"""What the number of a member mixes into the seed."""


def train_members(
    wells: Wells,
    manifest: pd.DataFrame,
    model_config: ModelConfig,
    config: TrainingConfig,
    checkpoints: CheckpointStore,
    log: RunLog,
) -> TrainingResult:
    """Train as many pairs of towers as `training.members`, and fit the closed form beside them.

    They differ in their seeds, the first has `training.seed` itself. The history holds the epochs
    of all, and those of the inner folds by which the number of epochs was chosen.

    Raises:
        InputError: As `train` does.
    """
    learnt_from = manifest
    histories: list[pd.DataFrame] = []
    match config.stopping:
        case "early":
            pass
        case "none":
            learnt_from = with_validation_joined(manifest)
        case "inner_folds":
            config, histories = with_chosen_epochs(
                wells, manifest, model_config, config, checkpoints, log
            )
            learnt_from = with_validation_joined(manifest)
        case _:
            assert_never(config.stopping)
    results = []
    for number in range(1, config.members + 1):
        member = config.model_copy(update={"members": 1, "seed": seed_of_member(config, number)})
        with _nested(log, f"member {number}", alone=config.members == 1) as own_log:
            result = train(wells, learnt_from, model_config, member, checkpoints, own_log)
        results.append(result)
        histories.append(result.history.assign(training=f"member {number}"))
        if config.members > 1:
            last = result.history.iloc[-1]
            logger.info(
                "member %d of %d: %d epochs, loss %.3f", number, config.members,
                last["epoch"], last["train_loss"],
            )  # fmt: skip
    closed_form = None
    if model_config.closed_form == "kernel_cca":
        train_rows = wells.rows_of_subset(learnt_from, Subset.TRAIN)
        closed_form = fit_closed_form(wells, train_rows, model_config)
    model = replace(
        results[0].model,
        members=tuple(member for result in results for member in result.model.members),
        closed_form=closed_form,
        manifest_sha256=manifest_sha256(manifest),
        validation_joined=learnt_from is not manifest,
    )
    return TrainingResult(model, pd.concat(histories, ignore_index=True))


def with_chosen_epochs(
    wells: Wells,
    manifest: pd.DataFrame,
    model_config: ModelConfig,
    config: TrainingConfig,
    checkpoints: CheckpointStore,
    log: RunLog,
) -> tuple[TrainingConfig, list[pd.DataFrame]]:
    """The parameters with the `last_epoch` that inner folds choose, and the folds' histories.

    Unchanged, where `stopping` asks for no inner folds or `last_epoch` is given.

    Raises:
        InputError: As `train` does.
    """
    if config.stopping != "inner_folds" or config.last_epoch is not None:
        return config, []
    inner = _inner_trainings(wells, manifest, model_config, config, checkpoints, log)
    histories = [*inner]
    return config.model_copy(update={"last_epoch": best_epoch(histories, config)}), histories


def seed_of_member(config: TrainingConfig, number: int) -> int:
    """The seed of the member with this number, from 1."""
    return config.seed if number == 1 else epoch_seed(config.seed, _MEMBER, number)


def best_epoch(histories: list[pd.DataFrame], config: TrainingConfig) -> int:
    """The epoch at which the inner folds are best on average, the earliest of equal ones.

    A fold counts by the number of perturbations that it validates.
    """
    together = pd.concat(histories, ignore_index=True)
    metric = config.early_stopping.metric
    weighted = together.assign(value=together[metric] * together["n_validation_texts"])
    by_epoch = weighted.groupby("epoch")[["value", "n_validation_texts"]].sum()
    means = by_epoch["value"] / by_epoch["n_validation_texts"]
    best = means.idxmin() if metric == "validation_loss" else means.idxmax()
    logger.info(
        "%d inner folds: %s is best after %d of %d epochs (%.3f; after the last %.3f)",
        together["training"].nunique(),
        metric.replace("_", " "),
        best,
        means.index.max(),
        means[best],
        means.iloc[-1],
    )
    return int(best)


def _inner_trainings(
    wells: Wells,
    manifest: pd.DataFrame,
    model_config: ModelConfig,
    config: TrainingConfig,
    checkpoints: CheckpointStore,
    log: RunLog,
) -> Iterator[pd.DataFrame]:
    """The history of each inner fold; its checkpoints are deleted, its epochs kept for resuming."""
    own = checkpoints.below("inner_folds")
    folds = list(inner_manifests(manifest, config.inner_folds, config.seed))
    single = config.model_copy(update={"members": 1, "stopping": "none"})
    for number, inner in enumerate(watched(folds, "inner folds", transient=True), start=1):
        name = f"inner fold {number}"
        run = own.run(run_digest(wells, inner, model_config, single))
        history = run.kept_result() if config.resume else None
        if history is None:
            with _nested(log, name, alone=False) as own_log:
                history = train(wells, inner, model_config, single, own, own_log).history
            run.keep_only(history)
        checkpoints.follows_another = True
        yield history.assign(training=name)


@contextmanager
def _nested(log: RunLog, name: str, *, alone: bool) -> Iterator[RunLog]:
    """The log itself of the only training, else one within it."""
    if alone:
        yield log
    else:
        with log.nested(name) as nested:
            yield nested
