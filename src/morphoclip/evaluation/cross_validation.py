"""Every fold and every seed: each perturbation is tested once per seed, beside the baselines."""

import logging

import pandas as pd

from morphoclip.evaluation.fold_data import FoldData
from morphoclip.evaluation.per_perturbation import (
    MODEL_METHOD,
    rows_of_baselines,
    rows_of_parts,
)
from morphoclip.models.config import ModelConfig
from morphoclip.splits.config import SplitConfig
from morphoclip.splits.leakage import check_no_leakage, leakage_report
from morphoclip.splits.manifest import assign_subsets
from morphoclip.training.checkpoints import CheckpointStore
from morphoclip.training.config import TrainingConfig
from morphoclip.training.members import train_members, with_chosen_epochs
from morphoclip.training.run_identity import run_digest
from morphoclip.training.run_log import RunLog

logger = logging.getLogger(__name__)


def cross_validate(
    data: FoldData,
    splitting: SplitConfig,
    model: ModelConfig,
    training: TrainingConfig,
    checkpoints: CheckpointStore,
    log: RunLog,
) -> pd.DataFrame:
    """Per-perturbation retrieval by model and baselines, of all assignments, folds and seeds.

    One fold where `splitting.folds` is not given. With `training.stopping` ``inner_folds`` the
    number of epochs is chosen once per fold, for all seeds. Of each training only its rows are
    kept, with which an interrupted run goes on (`training.resume`).

    Raises:
        InputError: As splitting and training do.
    """
    splits = list(splitting.each_fold)
    n_trainings = len(splits) * len(training.each_seed)
    own = checkpoints.below("cross_validation")
    parts: list[pd.DataFrame] = []
    for split in splits:
        fold = split.fold or 0
        named = f"assignment {split.seed}, fold {fold}" if splitting.seeds else f"fold {fold}"
        manifest = split_of_fold(split, data.well_index, data.perturbations, data.prompts)
        baselines = rows_of_baselines(
            data.wells,
            manifest,
            data.perturbations,
            data.prompts,
            data.others,
            seed=training.seed,
        )
        chosen = training
        if training.stopping == "inner_folds":
            with log.nested(f"{named}, inner folds") as nested:
                chosen, _ = with_chosen_epochs(data.wells, manifest, model, training, own, nested)
        for seed in training.each_seed:
            name = f"{named}, seed {seed}"
            config = chosen.of_seed(seed)
            run = own.run(run_digest(data.wells, manifest, model, config))
            of_model = run.kept_result() if training.resume else None
            if of_model is None:
                with log.nested(name) as nested:
                    of_model = _train_and_rank(data, manifest, model, config, own, nested)
                    own.delete_opened()
                run.keep_only(of_model)
            whole = of_model[of_model["method"] == MODEL_METHOD]
            mrr, chance = whole["mrr"].mean(), whole["mrr_chance"].mean()
            logger.info(
                "%d of %d, %s: held-out MRR %.3f, chance %.3f",
                len(parts) + 1,
                n_trainings,
                name,
                mrr,
                chance,
            )
            rows = pd.concat([of_model, baselines], ignore_index=True)
            parts.append(rows.assign(split_seed=split.seed, fold=fold, seed=seed))
    return pd.concat(parts, ignore_index=True)


def _train_and_rank(
    data: FoldData,
    manifest: pd.DataFrame,
    model: ModelConfig,
    config: TrainingConfig,
    checkpoints: CheckpointStore,
    log: RunLog,
) -> pd.DataFrame:
    """The rows of one training."""
    trained = train_members(data.wells, manifest, model, config, checkpoints, log).model
    rows = rows_of_parts(
        trained, data.wells, manifest, batch_size=config.batch_size, device=config.device
    )
    of_model = rows[rows["method"] == MODEL_METHOD]
    mrr, chance = of_model["mrr"].mean(), of_model["mrr_chance"].mean()
    log.summarise({"test.mrr": mrr, "test.mrr.chance": chance})
    return rows


def split_of_fold(
    split: SplitConfig,
    well_index: pd.DataFrame,
    perturbations: pd.DataFrame,
    prompts: pd.DataFrame,
) -> pd.DataFrame:
    """The split of these settings, checked for leaks.

    Raises:
        LeakageError: Something that the split keeps apart is in two subsets.
    """
    manifest = assign_subsets(well_index, split, perturbations)
    report = leakage_report(manifest, well_index, perturbations, prompts, split.kept_apart)
    check_no_leakage(report)
    return manifest
