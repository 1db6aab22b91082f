"""When a run ends: patience, and losses that are no numbers."""

from dataclasses import replace

import pytest
import torch
from small_training import MODEL, QUICK, manifest_of, wells

from morphoclip.errors import InputError
from morphoclip.training.config import EarlyStoppingConfig, TrainingConfig
from morphoclip.training.data import TrainingData, training_data
from morphoclip.training.state import TrainingState
from morphoclip.training.stopping import (
    is_patience_over,
    refuse_infinite_step,
    refuse_infinite_validation,
    value_to_minimise,
)
from morphoclip.training.trainer import initial_state


@pytest.fixture(scope="module")
def data() -> TrainingData:
    own = wells()
    return training_data(own, manifest_of(own), QUICK, "cpu")


@pytest.fixture(scope="module")
def start(data: TrainingData) -> TrainingState:
    return initial_state(data, MODEL, QUICK, "cpu")


def config(**early_stopping: object) -> TrainingConfig:
    return QUICK.model_copy(update={"early_stopping": EarlyStoppingConfig(**early_stopping)})


BATCHES = [torch.tensor([0, 1]), torch.tensor([5, 20]), torch.tensor([7])]


@pytest.mark.parametrize("bad", ["nan", "inf", "-inf"])
def test_the_first_batch_whose_loss_is_no_number_is_named_by_its_wells(
    data: TrainingData, bad: str
) -> None:
    losses = torch.tensor([1.0, float(bad), float("nan")])
    with pytest.raises(InputError) as caught:
        refuse_infinite_step(losses, BATCHES, data, epoch=3)
    assert str(caught.value) == (
        f"the loss is {bad} in step 2 of epoch 3, in a batch of 2 wells: P0 A06, P1 A05; "
        "checkpoints of earlier epochs are kept: look at these wells' features, lower "
        "training.learning_rate, or set training.precision to fp32"
    )


def test_only_five_wells_of_a_large_batch_are_named(data: TrainingData) -> None:
    message = r"of 8 wells: P0 A01, P0 A02, P0 A03, P0 A04, P0 A05 \(\+3 more\); checkpoints"
    with pytest.raises(InputError, match=message):
        refuse_infinite_step(torch.tensor([float("nan")]), [torch.arange(8)], data, epoch=1)


def test_an_epoch_of_finite_losses_goes_on(data: TrainingData) -> None:
    refuse_infinite_step(torch.tensor([0.0, 1e38, -1.0]), BATCHES, data, epoch=1)


@pytest.mark.parametrize("bad", ["nan", "inf", "-inf"])
def test_a_validation_loss_that_is_no_number_ends_the_run(bad: str) -> None:
    with pytest.raises(InputError) as caught:
        refuse_infinite_validation(float(bad), 4)
    assert str(caught.value) == (
        f"the validation_loss is {bad} in epoch 4; checkpoints of earlier epochs are kept: lower "
        "training.learning_rate, or set training.precision to fp32"
    )


def test_a_finite_validation_loss_goes_on() -> None:
    refuse_infinite_validation(0.5, 4)


def test_a_lower_loss_and_a_higher_reciprocal_rank_are_better() -> None:
    record = {"validation_loss": 2.5, "validation_mrr_within_modality": 0.25}
    assert value_to_minimise(record, config(metric="validation_loss"), 2) == 2.5
    by_rank = config(metric="validation_mrr_within_modality")
    assert value_to_minimise(record, by_rank, 2) == -0.25
    better = record | {"validation_mrr_within_modality": 0.3}
    assert value_to_minimise(better, by_rank, 2) < value_to_minimise(record, by_rank, 2)


def test_with_one_text_there_is_no_best_epoch_but_the_last() -> None:
    records = [{"epoch": float(epoch), "validation_loss": 0.0} for epoch in (1, 2, 3)]
    values = [value_to_minimise(r, config(metric="validation_loss"), 1) for r in records]
    assert values == sorted(values, reverse=True)
    assert len(set(values)) == 3


@pytest.mark.parametrize(
    ("patience", "best_epoch", "epochs_that_go_on"),
    [(1, 0, [0]), (3, 0, [0, 1, 2]), (3, 4, [4, 5, 6]), (8, 20, list(range(20, 28)))],
)
def test_patience_is_over_after_as_many_epochs_without_a_better_value(
    start: TrainingState, patience: int, best_epoch: int, epochs_that_go_on: list[int]
) -> None:
    epochs = range(best_epoch, best_epoch + 12)
    states = [replace(start, epoch=epoch, best_epoch=best_epoch) for epoch in epochs]
    patient = config(patience=patience)
    assert [s.epoch for s in states if not is_patience_over(s, patient)] == epochs_that_go_on
