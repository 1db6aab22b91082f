"""When a run ends: patience, and losses that are no numbers."""

import logging
import math
from collections.abc import Mapping
from typing import assert_never

from torch import Tensor

from morphoclip.columns import PLATE, WELL
from morphoclip.errors import InputError, example_of
from morphoclip.training.config import TrainingConfig
from morphoclip.training.data import TrainingData
from morphoclip.training.state import TrainingState

logger = logging.getLogger(__name__)


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


def refuse_infinite_validation(loss: float, epoch: int) -> None:
    """Stop where the validation loss is no number.

    Raises:
        InputError: With what to do.
    """
    if not math.isfinite(loss):
        raise InputError(
            f"the validation_loss is {loss} in epoch {epoch}; "
            "checkpoints of earlier epochs are kept: lower training.learning_rate, or set "
            "training.precision to fp32"
        )


FEWEST_TEXTS = 10
"""With fewer validation texts the best epoch is mostly chance."""


def validation_texts(data: TrainingData, config: TrainingConfig) -> int:
    """How many distinct texts the validation wells have; says where they are too few to choose."""
    number = len(data.wells.prompt_of_well[data.validation.cpu()].unique())
    if config.stopping != "early":
        return number
    if number < 2:
        logger.warning(
            "the validation wells have one text, and nothing to tell it from: all epochs are "
            "trained, and the weights are those of the last; splitting.val_fraction takes more"
        )
    elif number < FEWEST_TEXTS:
        logger.warning(
            "the validation wells have %d texts: with so few the choice of an epoch is mostly "
            "chance; splitting.val_fraction takes more",
            number,
        )
    return number


def value_to_minimise(record: Mapping[str, float], config: TrainingConfig, n_texts: int) -> float:
    """What early stopping watches, lower being better; later epochs are where it watches nothing.

    One text alone makes every epoch better.
    """
    if n_texts < 2 or config.stopping != "early":
        return -record["epoch"]
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
    if config.stopping != "early":
        return False
    return state.epoch - state.best_epoch >= config.early_stopping.patience
