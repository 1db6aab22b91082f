"""Every fold and every seed: each perturbation is tested once a seed, beside the baselines."""

import logging
from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import pandas as pd

from morphoclip.metrics.baselines import baseline_similarities
from morphoclip.metrics.queries import MODEL, query_rows
from morphoclip.metrics.retrieval import consensus_profiles
from morphoclip.models.embedding import embed_by
from morphoclip.models.morphoclip import ModelConfig, TrainedModel
from morphoclip.schemas import PROMPT_DIGEST, Subset
from morphoclip.splits.config import SplitConfig
from morphoclip.splits.leakage import check_no_leakage, kept_apart, leakage_report
from morphoclip.splits.manifest import assign_subsets
from morphoclip.training.config import TrainingConfig
from morphoclip.training.perturbation_sets import perturbation_set
from morphoclip.training.state import CheckpointStore
from morphoclip.training.trainer import train
from morphoclip.wells.assemble import Wells

logger = logging.getLogger(__name__)


class RunLog(Protocol):
    """Where epochs are told, and runs within the run."""

    def __call__(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """One epoch."""
        ...

    def nested(self, name: str) -> AbstractContextManager["RunLog"]:
        """A run of its own within this one."""
        ...

    def summarise(self, metrics: Mapping[str, float]) -> None:
        """What came out."""
        ...


@dataclass(frozen=True)
class Tables:
    """Metadata that splits and baselines need."""

    well_index: pd.DataFrame
    perturbations: pd.DataFrame
    prompts: pd.DataFrame


def cross_validate(  # noqa: PLR0913 - what it reads, three configurations, where it tells
    wells: Wells,
    tables: Tables,
    splitting: SplitConfig,
    model: ModelConfig,
    training: TrainingConfig,
    checkpoints: CheckpointStore,
    log: RunLog,
) -> pd.DataFrame:
    """Queries of all folds (one, without `splitting.folds`) and seeds, by model and baselines.

    Raises:
        InputError: As splitting and training do.
    """
    folds = range(splitting.folds) if splitting.folds else (None,)
    seeds = [int(seed) for seed in training.seeds] or [training.seed]
    parts: list[pd.DataFrame] = []
    for fold in folds:
        split = splitting if fold is None else splitting.model_copy(update={"fold": fold})
        manifest = assign_subsets(tables.well_index, split)
        report = leakage_report(
            manifest, tables.well_index, tables.perturbations, tables.prompts, kept_apart(split)
        )
        check_no_leakage(report)
        baselines = baseline_queries(wells, manifest, tables, seed=training.seed)
        for seed in seeds:
            name = f"fold {fold or 0}, seed {seed}"
            config = training.model_copy(update={"seed": seed, "seeds": ()})
            with log.nested(name) as own_log:
                trained = train(wells, manifest, model, config, checkpoints, own_log).model
                queries = model_queries(
                    trained, wells, manifest, batch_size=config.batch_size, device=config.device
                )
                mrr, chance = queries["mrr"].mean(), queries["mrr_chance"].mean()
                own_log.summarise({"test.mrr": mrr, "test.mrr.chance": chance})
            logger.info(
                "%d of %d, %s: held-out MRR %.3f, chance %.3f",
                len(parts) + 1,
                len(folds) * len(seeds),
                name,
                mrr,
                chance,
            )
            both = pd.concat([queries, baselines], ignore_index=True)
            parts.append(both.assign(fold=fold or 0, seed=seed))
    return pd.concat(parts, ignore_index=True)


def model_queries(
    trained: TrainedModel, wells: Wells, manifest: pd.DataFrame, *, batch_size: int, device: str
) -> pd.DataFrame:
    """The trained model's queries of the test subset."""
    own = wells.select(wells.rows_of_subset(manifest, Subset.TEST))
    embedded = embed_by(trained, own, batch_size=batch_size, device=device)
    consensus = consensus_profiles(embedded.image, own.prompts.numpy(), len(embedded.text))
    similarity = consensus @ embedded.text.T.astype(np.float64)
    return query_rows(similarity, np.array(own.digests), own.modality_of_prompts, MODEL)


def baseline_queries(
    wells: Wells, manifest: pd.DataFrame, tables: Tables, *, seed: int
) -> pd.DataFrame:
    """The baselines' queries of the test subset, fitted on the train subset."""
    train_set, test_set = (
        perturbation_set(wells, manifest, subset, tables.perturbations, tables.prompts)
        for subset in (Subset.TRAIN, Subset.TEST)
    )
    parts = []
    for name, draws in baseline_similarities(train_set, test_set, seed=seed).items():
        rows = [query_rows(drawn, test_set.digests, test_set.modality, name) for drawn in draws]
        parts.append(_mean_of_draws(rows))
    return pd.concat(parts, ignore_index=True)


def _mean_of_draws(rows: list[pd.DataFrame]) -> pd.DataFrame:
    numbers = ["mrr", "recall@1", "recall@5"]
    mean = pd.concat(rows).groupby(PROMPT_DIGEST, sort=False)[numbers].mean()
    return rows[0].assign(**{name: mean[name].to_numpy() for name in numbers})
