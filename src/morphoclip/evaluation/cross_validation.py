"""Every fold and every seed: each perturbation is tested once per seed, beside the baselines."""

import logging
from collections.abc import Iterator, Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Protocol

import pandas as pd

from morphoclip.evaluation.per_perturbation import rows_of_baselines, rows_of_model
from morphoclip.models.morphoclip import ModelConfig
from morphoclip.splits.config import SplitConfig
from morphoclip.splits.leakage import check_no_leakage, leakage_report
from morphoclip.splits.manifest import assign_subsets
from morphoclip.training.config import TrainingConfig
from morphoclip.training.state import CheckpointStore
from morphoclip.training.trainer import train
from morphoclip.wells.assemble import Wells

logger = logging.getLogger(__name__)


class NestedRunLog(Protocol):
    """Where epochs are logged, and runs within the run."""

    def __call__(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Log one epoch."""
        ...

    def nested(self, name: str) -> AbstractContextManager["NestedRunLog"]:
        """A run of its own within this one."""
        ...

    def summarise(self, metrics: Mapping[str, float]) -> None:
        """Log the result of the run."""
        ...


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
    log: NestedRunLog,
) -> pd.DataFrame:
    """Per-perturbation retrieval by model and baselines, of all folds and seeds.

    One fold where `splitting.folds` is not given.

    Raises:
        InputError: As splitting and training do.
    """
    seeds = [int(seed) for seed in training.seeds] or [training.seed]
    n_trainings = (splitting.folds or 1) * len(seeds)
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
            with log.nested(name) as nested_log:
                trained = train(data.wells, manifest, model, config, checkpoints, nested_log).model
                of_model = rows_of_model(
                    trained,
                    data.wells,
                    manifest,
                    batch_size=config.batch_size,
                    device=config.device,
                )
                mrr, chance = of_model["mrr"].mean(), of_model["mrr_chance"].mean()
                nested_log.summarise({"test.mrr": mrr, "test.mrr.chance": chance})
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
    manifest = assign_subsets(well_index, split)
    report = leakage_report(manifest, well_index, perturbations, prompts, split.kept_apart)
    check_no_leakage(report)
    return manifest
