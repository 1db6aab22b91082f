"""Every fold and every seed: each perturbation is tested once per seed, beside the baselines."""

import logging
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field

import pandas as pd

from morphoclip.evaluation.per_perturbation import rows_of_baselines, rows_of_model
from morphoclip.models.config import ModelConfig
from morphoclip.splits.config import SplitConfig
from morphoclip.splits.leakage import check_no_leakage, leakage_report
from morphoclip.splits.manifest import assign_subsets
from morphoclip.training.config import TrainingConfig
from morphoclip.training.members import train_members
from morphoclip.training.run_identity import run_digest
from morphoclip.training.run_log import RunLog
from morphoclip.training.state import CheckpointStore
from morphoclip.wells.assemble import Wells

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class CrossValidationData:
    """What every fold reads: wells with features, and the metadata that splits need.

    ``others`` are tables of wells that are not the model's input.
    """

    wells: Wells
    well_index: pd.DataFrame
    perturbations: pd.DataFrame
    prompts: pd.DataFrame
    others: Mapping[str, pd.DataFrame] = field(default_factory=dict)


def cross_validate(
    data: CrossValidationData,
    splitting: SplitConfig,
    model: ModelConfig,
    training: TrainingConfig,
    checkpoints: CheckpointStore,
    log: RunLog,
) -> pd.DataFrame:
    """Per-perturbation retrieval by model and baselines, of all folds and seeds.

    One fold where `splitting.folds` is not given. Of each training only its rows are kept, with
    which an interrupted run goes on (`training.resume`).

    Raises:
        InputError: As splitting and training do.
    """
    seeds = [int(seed) for seed in training.seeds] or [training.seed]
    n_trainings = (splitting.folds or 1) * len(seeds)
    own = checkpoints.below("cross_validation")
    parts: list[pd.DataFrame] = []
    for fold, manifest in _manifests(data, splitting):
        baselines = rows_of_baselines(
            data.wells,
            manifest,
            data.perturbations,
            data.prompts,
            data.others,
            seed=training.seed,
        )
        for seed in seeds:
            name = f"fold {fold}, seed {seed}"
            config = training.model_copy(update={"seed": seed, "seeds": ()})
            run = own.run(run_digest(data.wells, manifest, model, config))
            of_model = run.kept_result() if training.resume else None
            if of_model is None:
                with log.nested(name) as nested_log:
                    of_model = _train_and_rank(data, manifest, model, config, own, nested_log)
                    own.delete_opened()
                    own.below("inner_folds").delete_all()
                run.keep_only(of_model)
            mrr, chance = of_model["mrr"].mean(), of_model["mrr_chance"].mean()
            logger.info(
                "%d of %d, %s: held-out MRR %.3f, chance %.3f",
                len(parts) + 1,
                n_trainings,
                name,
                mrr,
                chance,
            )
            rows = pd.concat([of_model, baselines], ignore_index=True)
            parts.append(rows.assign(fold=fold, seed=seed))
    return pd.concat(parts, ignore_index=True)


def _train_and_rank(
    data: CrossValidationData,
    manifest: pd.DataFrame,
    model: ModelConfig,
    config: TrainingConfig,
    checkpoints: CheckpointStore,
    log: RunLog,
) -> pd.DataFrame:
    """The rows of one training."""
    trained = train_members(data.wells, manifest, model, config, checkpoints, log).model
    rows = rows_of_model(
        trained, data.wells, manifest, batch_size=config.batch_size, device=config.device
    )
    log.summarise({"test.mrr": rows["mrr"].mean(), "test.mrr.chance": rows["mrr_chance"].mean()})
    return rows


def _manifests(
    data: CrossValidationData, splitting: SplitConfig
) -> Iterator[tuple[int, pd.DataFrame]]:
    """The split of each fold, checked for leaks."""
    for fold in range(splitting.folds or 1):
        yield (
            fold,
            split_of_fold(splitting, fold, data.well_index, data.perturbations, data.prompts),
        )


def split_of_fold(
    splitting: SplitConfig,
    fold: int,
    well_index: pd.DataFrame,
    perturbations: pd.DataFrame,
    prompts: pd.DataFrame,
) -> pd.DataFrame:
    """The split in which a fold is tested, checked for leaks; the one split without folds.

    Raises:
        LeakageError: Something that the split keeps apart is in two subsets.
    """
    update = {"fold": fold} if splitting.folds else {}
    split = splitting.model_copy(update=update)
    manifest = assign_subsets(well_index, split, perturbations)
    report = leakage_report(manifest, well_index, perturbations, prompts, split.kept_apart)
    check_no_leakage(report)
    return manifest
