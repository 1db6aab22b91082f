"""Cross-validation nodes: features and metadata in, queries and their summary out."""

import logging
from collections.abc import Callable, Mapping

import pandas as pd

from morphoclip.features.plate_features import PlateFeatures
from morphoclip.features.text_features import TextFeatures
from morphoclip.metrics.queries import summarise_queries, verdict
from morphoclip.metrics.scores import EvaluationConfig
from morphoclip.models.morphoclip import ModelConfig
from morphoclip.splits.config import SplitConfig
from morphoclip.training.config import TrainingConfig
from morphoclip.training.cross_validation import RunLog, Tables, cross_validate
from morphoclip.training.state import CheckpointStore
from morphoclip.wells.assemble import assemble_wells

logger = logging.getLogger(__name__)


def train_every_fold(  # noqa: PLR0913 - one argument a catalog entry
    plate_features: Mapping[str, Callable[[], PlateFeatures]],
    text_features: TextFeatures,
    prompts: pd.DataFrame,
    well_index: pd.DataFrame,
    perturbations: pd.DataFrame,
    splitting: SplitConfig,
    model: ModelConfig,
    training: TrainingConfig,
    checkpoints: CheckpointStore,
    epoch_log: RunLog,
) -> pd.DataFrame:
    """How the model and the baselines rank every perturbation while it is held out."""
    wells = assemble_wells(
        plate_features, well_index, prompts, text_features, model.token_normalisation
    )
    tables = Tables(well_index, perturbations, prompts)
    return cross_validate(wells, tables, splitting, model, training, checkpoints, epoch_log)


def summarise_folds(queries: pd.DataFrame, config: EvaluationConfig) -> pd.DataFrame:
    """Means, intervals over perturbations, and differences to the model."""
    summary = summarise_queries(queries, draws=config.bootstrap_draws, seed=config.seed)
    shown = summary[(summary["scope"] == "within_modality") & (summary["metric"] == "mrr")]
    shown = shown.sort_values("value", ascending=False)
    lines = [
        f"  {row.ranker:<20} {row.value:.3f} [{row.ci_low:.3f}, {row.ci_high:.3f}]"
        for row in shown.itertuples()
    ]
    lines.append(f"  {'chance':<20} {shown['chance'].iloc[0]:.3f}")
    logger.info(
        "held-out MRR within modality [95 %% interval], %d perturbations, %d seed(s)\n%s\n%s",
        shown["n_queries"].iloc[0],
        shown["n_seeds"].max(),
        "\n".join(lines),
        verdict(summary),
    )
    return summary
