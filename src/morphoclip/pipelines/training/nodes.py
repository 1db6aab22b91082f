"""Training node: features, prompts and a split in, the best model out."""

from collections.abc import Mapping
from typing import Any, NamedTuple

import pandas as pd

from morphoclip.errors import InputError
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.features.text_features import TextFeatures
from morphoclip.loaders import Loaders
from morphoclip.models.config import ModelConfig
from morphoclip.models.trained import TrainedModel
from morphoclip.splits.manifest import require_recorded
from morphoclip.training.checkpoints import CheckpointStore
from morphoclip.training.config import TrainingConfig
from morphoclip.training.members import train_members
from morphoclip.training.run_log import RunLog
from morphoclip.wells.assemble import assemble_wells


class TrainedAndRecorded(NamedTuple):
    """The best model, what tells it from others, and one row per epoch."""

    model: TrainedModel
    model_record: dict[str, Any]
    training_history: pd.DataFrame


def train_model(  # noqa: PLR0913 - one argument per catalog entry
    plate_features: Loaders[PlateFeatures],
    text_features: TextFeatures,
    prompts: pd.DataFrame,
    well_index: pd.DataFrame,
    split_manifest: pd.DataFrame,
    split_record: Mapping[str, Any],
    model: ModelConfig,
    training: TrainingConfig,
    checkpoints: CheckpointStore,
    epoch_log: RunLog,
) -> TrainedAndRecorded:
    """Train both towers; checkpoints and epochs go out through the store and the log.

    Raises:
        InputError: The manifest is not the one that was recorded, or as `train` does.
    """
    if training.seeds:
        raise InputError(
            "training.seeds trains several models, which is cross_validation's job: run "
            "kedro run --pipeline cross_validation, or give one training.seed"
        )
    require_recorded(split_manifest, split_record)
    wells = assemble_wells(
        plate_features,
        well_index,
        prompts,
        text_features,
        model.token_normalisation,
        training.host_placement,
    )
    done = train_members(wells, split_manifest, model, training, checkpoints, epoch_log)
    return TrainedAndRecorded(done.model, done.model.record, done.history)
