"""Two processes are one: gradients, sizes, ends."""

import multiprocessing
import time

import pandas as pd
import pytest
import torch
from small_training import (
    NO_DROPOUT,
    QUICK,
    complain,
    die,
    gradients,
    is_running,
    knock_from_elsewhere,
    launch_and_wait,
    manifest_of,
    run,
    wells,
)

from morphoclip.errors import InputError
from morphoclip.training.checkpoints import CheckpointStore
from morphoclip.training.config import TrainingConfig
from morphoclip.training.distributed import ALONE, World
from morphoclip.training.processes import launch
from morphoclip.training.trainer import train

LOSSES = [
    {"loss": {"name": "infonce"}},
    {"loss": {"name": "cwcl", "target_weight": 0.5, "replicate_weight": 0.3}},
    {"cwa": "batch_mean"},
]


@pytest.mark.parametrize("change", LOSSES, ids=str)
def test_two_processes_have_the_gradients_of_one(change: dict, tmp_path) -> None:
    config = TrainingConfig.model_validate(QUICK.model_dump() | change)
    data = wells()
    loss, alone = gradients(ALONE, "cpu", data, config)
    other_loss, together = launch(
        gradients, 2, device="cpu", wells=data, folder=tmp_path, args=(config,)
    )
    assert other_loss == pytest.approx(loss, abs=1e-6)
    assert sorted(together) == sorted(alone)
    for name, gradient in alone.items():
        torch.testing.assert_close(together[name], gradient, atol=1e-6, rtol=1e-6)


def test_a_batch_is_divided_into_parts_that_join_again() -> None:
    rows = torch.arange(7)
    parts = [World(rank, 3).rows_of_rank(rows) for rank in range(3)]
    assert torch.equal(torch.cat(parts), rows)
    assert [len(part) for part in parts] == [3, 2, 2]


@pytest.mark.slow
def test_two_processes_train_the_model_of_one_and_resume_it(tmp_path) -> None:
    two = QUICK.model_copy(update={"devices": 2})
    one = run(tmp_path / "one", model=NO_DROPOUT)
    both = run(tmp_path / "two", two, model=NO_DROPOUT)
    pd.testing.assert_frame_equal(one.history, both.history, atol=2e-3, rtol=2e-3)
    assert len(list((tmp_path / "two").iterdir())) == 1
    with pytest.raises(RuntimeError, match=r"(?s)rank 0 of 2 died.*Interrupted"):
        run(tmp_path / "parts", two, stop_after=3, model=NO_DROPOUT)
    resumed = run(tmp_path / "parts", two.model_copy(update={"resume": True}), model=NO_DROPOUT)
    pd.testing.assert_frame_equal(both.history, resumed.history)
    for name, weights in both.model.members[0].state.items():
        assert torch.equal(weights, resumed.model.members[0].state[name]), name


@pytest.mark.parametrize(
    ("function", "error", "message"),
    [
        (die, RuntimeError, r"rank 1 of 2 died, the others were ended: signal 9"),
        (complain, InputError, "^a sentence for the user; the remedy$"),
    ],
)
def test_a_rank_that_fails_ends_the_run_with_its_reason(
    function, error, message: str, tmp_path
) -> None:
    with pytest.raises(error, match=message):
        launch(function, 2, device="cpu", wells=wells(), folder=tmp_path)
    assert not list(tmp_path.iterdir())


def test_processes_listen_on_the_loopback_interface_alone(tmp_path) -> None:
    """Whoever is elsewhere cannot reach a training: not by the machine's address, not at all."""
    reached, listening = launch(
        knock_from_elsewhere, 2, device="cpu", wells=wells(), folder=tmp_path
    )
    assert listening  # the ranks do exchange tensors, so there is something to find
    assert not reached


def test_ranks_end_with_a_parent_that_is_killed_and_leave_no_tokens(tmp_path) -> None:
    """The parent is a process of its own, killed while its ranks wait."""
    parent = multiprocessing.get_context("spawn").Process(
        target=launch_and_wait, args=(tmp_path,), daemon=False
    )
    parent.start()
    pids = tmp_path / "pids"
    while not (pids.exists() and len(list(pids.iterdir())) == 2):
        assert parent.is_alive()
        time.sleep(0.05)
    ranks = [int(path.name) for path in pids.iterdir()]
    assert not list(tmp_path.rglob("*.pt"))
    parent.kill()
    parent.join()
    for _ in range(200):
        if not any(map(is_running, ranks)):
            break
        time.sleep(0.05)
    assert not any(map(is_running, ranks))


def test_more_processes_than_gpus_are_refused(tmp_path) -> None:
    if torch.cuda.device_count() >= 99:
        pytest.skip("there are that many GPUs")
    with pytest.raises(InputError, match=r"training\.devices is 99 and there are \d+ GPUs"):
        launch(complain, 99, device="cuda", wells=wells(), folder=tmp_path)


def test_the_wells_of_a_step_without_a_loss_are_named(tmp_path) -> None:
    data = wells()
    data.sites.tokens[-1] = float("nan")  # of the last well, which trains
    store = CheckpointStore(tmp_path)
    with pytest.raises(InputError, match=r"the loss is nan in step \d of epoch 1, in a batch of 8"):
        train(data, manifest_of(data), NO_DROPOUT, QUICK, store, lambda *_: None)
