"""When a run ends: patience, and losses that are no numbers."""

import math
from collections.abc import Mapping
from typing import assert_never

from torch import Tensor

from morphoclip.columns import PLATE, WELL
from morphoclip.errors import InputError, example_of
from morphoclip.training.config import TrainingConfig
from morphoclip.training.data import TrainingData
from morphoclip.training.state import TrainingState


def refuse_infinite_step(
    losses: Tensor, batches: list[Tensor], data: TrainingData, epoch: int
) -> None:
    """Stop where the loss of a batch is not finite.

    Raises:
        InputError: With the wells of the batch and what to do.
    """
    bad = (~losses.isfinite()).nonzero()
    if len(bad):
        step = int(bad[0])
        wells = data.wells.table.iloc[batches[step].numpy()]
        names = wells[PLATE] + " " + wells[WELL]
        raise InputError(
            f"the loss is {float(losses[step])} in step {step + 1} of epoch {epoch}, in a batch of "
            f"{len(names)} wells: {example_of(names, limit=5)}; checkpoints of earlier epochs are "
            "kept: look at these wells' features, lower training.learning_rate, or set "
            "training.precision to fp32"
        )


def refuse_infinite_validation(record: Mapping[str, float]) -> None:
    """Stop where the validation loss is no number.

    Raises:
        InputError: With what to do.
    """
    if not math.isfinite(record["validation_loss"]):
        raise InputError(
            f"the validation_loss is {record['validation_loss']} in epoch {record['epoch']:.0f}; "
            "checkpoints of earlier epochs are kept: lower training.learning_rate, or set "
            "training.precision to fp32"
        )


def value_to_minimise(record: Mapping[str, float], config: TrainingConfig) -> float:
    """What early stopping watches, lower being better."""
    metric = config.early_stopping.metric
    match metric:
        case "validation_loss":
            return record[metric]
        case "validation_mrr_within_modality":
            return -record[metric]
        case _:
            assert_never(metric)


def is_patience_over(state: TrainingState, config: TrainingConfig) -> bool:
    """Whether too many epochs went by without a better value."""
    return state.epoch - state.best_epoch >= config.early_stopping.patience
