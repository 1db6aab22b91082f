"""Cross-validation nodes: features and metadata in, retrieval per perturbation and means out."""

import logging

import pandas as pd

from morphoclip.evaluation.baseline_comparison import (
    compare_methods,
    comparison_sentence,
    headline_comparison,
)
from morphoclip.evaluation.config import EvaluationConfig
from morphoclip.evaluation.cross_validation import (
    CrossValidationData,
    cross_validate,
)
from morphoclip.evaluation.humble_inputs import other_inputs
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.features.text_features import TextFeatures
from morphoclip.loaders import Loaders
from morphoclip.models.config import ModelConfig
from morphoclip.splits.config import SplitConfig
from morphoclip.training.config import TrainingConfig
from morphoclip.training.run_log import RunLog
from morphoclip.training.state import CheckpointStore
from morphoclip.wells.assemble import assemble_wells

logger = logging.getLogger(__name__)


def train_every_fold(  # noqa: PLR0913 - one argument per catalog entry
    plate_features: Loaders[PlateFeatures],
    text_features: TextFeatures,
    prompts: pd.DataFrame,
    well_index: pd.DataFrame,
    perturbations: pd.DataFrame,
    splitting: SplitConfig,
    model: ModelConfig,
    training: TrainingConfig,
    feature_sets: Loaders[PlateFeatures],
    well_quality: pd.DataFrame | None,
    evaluation: EvaluationConfig,
    checkpoints: CheckpointStore,
    epoch_log: RunLog,
) -> pd.DataFrame:
    """Where the model and the baselines rank the text of every perturbation while held out."""
    wells = assemble_wells(
        plate_features, well_index, prompts, text_features, model.token_normalisation
    )
    others = other_inputs(
        well_quality,
        feature_sets,
        evaluation.untrained_features,
        wells,
        prompts,
        text_features,
        model.token_normalisation,
    )
    data = CrossValidationData(wells, well_index, perturbations, prompts, others)
    return cross_validate(data, splitting, model, training, checkpoints, epoch_log)


def compare_over_folds(per_perturbation: pd.DataFrame, config: EvaluationConfig) -> pd.DataFrame:
    """Means, intervals over perturbations, and differences to the model."""
    comparison = compare_methods(per_perturbation, config.bootstrap)
    rows = headline_comparison(comparison)
    lines = [f"  {'':<27} {'mean of both':<20} image>text text>image"]
    lines += [
        f"  {row.method:<27} {row.value:.3f} [{row.ci_low:.3f}, {row.ci_high:.3f}]"
        f"{row.image_to_text:10.3f}{row.text_to_image:11.3f}"
        for row in rows.itertuples()
    ]
    lines.append(f"  {'chance':<27} {rows['chance'].iloc[0]:.3f}")
    logger.info(
        "held-out MRR within modality [95 %% interval], %d perturbations, %d seed(s)\n%s\n%s",
        rows["n_perturbations"].iloc[0],
        rows["n_seeds"].max(),
        "\n".join(lines),
        comparison_sentence(comparison),
    )
    return comparison
