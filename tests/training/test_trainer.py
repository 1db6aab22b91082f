"""The training loop: it learns, it stops, it goes on."""

import signal

import pandas as pd
import pytest
import torch
from small_training import (
    MODEL,
    QUICK,
    Interrupted,
    manifest_of,
    run,
    run_until_killed,
    wells,
)

from morphoclip.columns import ROLE
from morphoclip.errors import InputError
from morphoclip.schemas.evaluation import TRAINING_HISTORY
from morphoclip.training.checkpoints import CheckpointStore
from morphoclip.training.optim import build_optimizer, warmup_then_cosine
from morphoclip.training.trainer import TrainingResult, train


def test_eight_wells_are_learnt_by_heart(tmp_path) -> None:
    data = wells(prompts=8, replicates=1)
    manifest = manifest_of(data, held_out=1)
    early = QUICK.early_stopping.model_copy(update={"patience": 60})
    config = QUICK.model_copy(update={"epochs": 60, "early_stopping": early})
    history = train(
        data, manifest, MODEL, config, CheckpointStore(tmp_path), lambda *_: None
    ).history
    assert history["train_loss"].min() < 0.2 * history["train_loss"].iloc[0]


def test_history_has_its_columns_and_counts_from_one(tmp_path) -> None:
    history = TRAINING_HISTORY.validate(run(tmp_path).history)
    assert history["epoch"].tolist() == [1, 2, 3, 4, 5, 6]
    floor = history["validation_loss"] - history["validation_loss_above_floor"]
    assert (floor >= 0).all()


def assert_same_member(one: TrainingResult, other: TrainingResult) -> None:
    (expected,), (found,) = one.model.members, other.model.members
    assert expected.epoch == found.epoch
    for name, weights in expected.state.items():
        assert torch.equal(weights, found.state[name]), name


def offsets_of(result: TrainingResult) -> dict[str, torch.Tensor]:
    return result.model.members[0].plate_offsets


def test_the_same_seed_gives_the_same_weights_and_another_does_not(tmp_path) -> None:
    first, again = run(tmp_path / "a").model, run(tmp_path / "b").model
    other = run(tmp_path / "c", QUICK.model_copy(update={"seed": 1})).model
    one, same, another = (model.members[0].state for model in (first, again, other))
    assert all(torch.equal(one[name], same[name]) for name in one)
    assert not torch.equal(one["image_head.0.weight"], another["image_head.0.weight"])


def test_an_interrupted_run_goes_on_to_the_same_bits(tmp_path) -> None:
    whole = run(tmp_path / "whole")
    with pytest.raises(Interrupted):
        run(tmp_path / "parts", stop_after=3)
    resumed = run(tmp_path / "parts", QUICK.model_copy(update={"resume": True}))
    pd.testing.assert_frame_equal(whole.history, resumed.history)
    assert_same_member(whole, resumed)


def test_offsets_of_plates_go_with_the_model_and_survive_a_resume(tmp_path) -> None:
    config = QUICK.model_copy(update={"cwa": "condition_offset"})
    whole = offsets_of(run(tmp_path / "whole", config))
    assert sorted(whole) == ["P0", "P1"]
    torch.testing.assert_close(whole["P0"], -whole["P1"])
    with pytest.raises(Interrupted):
        run(tmp_path / "parts", config, stop_after=3)
    resumed = offsets_of(run(tmp_path / "parts", config.model_copy(update={"resume": True})))
    assert torch.equal(whole["P0"], resumed["P0"])
    assert offsets_of(run(tmp_path / "off")) == {}


def test_plates_can_be_measured_by_their_negative_controls(tmp_path) -> None:
    data = wells()
    data.table.loc[[3, 7, 19, 23], ROLE] = "negcon"
    config = QUICK.model_copy(update={"cwa": "condition_offset", "epochs": 1})
    offsets = []
    for reference in ("train", "negcon"):
        changed = config.model_copy(update={"cwa_reference": reference})
        store = CheckpointStore(tmp_path / reference)
        trained = train(data, manifest_of(data), MODEL, changed, store, lambda *_: None)
        offsets.append(offsets_of(trained)["P0"])
    assert not torch.allclose(*offsets)


def test_without_resume_a_run_starts_afresh(tmp_path) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path, stop_after=3)
    assert run(tmp_path).history["epoch"].tolist() == [1, 2, 3, 4, 5, 6]


def test_a_run_is_not_resumed_from_another_configurations_checkpoint(tmp_path) -> None:
    run(tmp_path)
    longer = QUICK.model_copy(update={"epochs": 9, "resume": True})
    with pytest.raises(InputError, match=r"differs in training\.epochs: 9, not 6\."):
        run(tmp_path, longer)


def test_a_run_that_was_stopped_in_its_first_epoch_can_be_resumed(tmp_path) -> None:
    run(tmp_path)
    (run_folder,) = tmp_path.iterdir()
    for checkpoint in run_folder.glob("*.pt"):
        checkpoint.unlink()  # as it is before the first epoch ends
    resumed = run(tmp_path, QUICK.model_copy(update={"resume": True}))
    assert len(resumed.history) == QUICK.epochs


def test_a_resumed_series_starts_the_runs_that_it_had_not_come_to(tmp_path) -> None:
    store = CheckpointStore(tmp_path)
    store.open("first").describe({"seed": 1})
    resumed = CheckpointStore(tmp_path)
    resumed.require_resumable("first", {"seed": 1})
    resumed.open("first")
    resumed.require_resumable("second", {"seed": 2})
    with pytest.raises(InputError, match="differs in seed: 2, not 1"):
        CheckpointStore(tmp_path).require_resumable("second", {"seed": 2})


def test_a_failed_try_leaves_no_checkpoint_of_an_earlier_one(tmp_path) -> None:
    run(tmp_path)
    with pytest.raises(Interrupted):
        run(tmp_path, stop_after=1)
    last = torch.load(next(tmp_path.rglob("last.pt")), weights_only=True)
    assert last["epoch"] == 1


def test_another_configuration_has_checkpoints_of_its_own(tmp_path) -> None:
    run(tmp_path)
    run(tmp_path, QUICK.model_copy(update={"learning_rate": 1e-3}))
    assert len(list(tmp_path.iterdir())) == 2


def test_patience_ends_a_run_and_the_best_epoch_is_kept(tmp_path) -> None:
    early = QUICK.early_stopping.model_copy(update={"patience": 2})
    config = QUICK.model_copy(update={"epochs": 40, "early_stopping": early, "learning_rate": 0.05})
    result = run(tmp_path, config)
    best = int(result.history["validation_loss"].idxmin()) + 1
    assert result.model.members[0].epoch == best
    assert len(result.history) == best + 2


def test_a_loss_that_is_not_finite_stops_in_a_sentence_and_keeps_the_last_checkpoint(
    tmp_path,
) -> None:
    data = wells()
    data.sites.tokens[3] = float("nan")  # of a validation well
    with pytest.raises(InputError, match="validation_loss is nan in epoch 1"):
        train(data, manifest_of(data), MODEL, QUICK, CheckpointStore(tmp_path), lambda *_: None)


def test_a_damaged_checkpoint_is_named(tmp_path) -> None:
    with pytest.raises(Interrupted):
        run(tmp_path, stop_after=2)
    last = next(tmp_path.rglob("last.pt"))
    last.write_bytes(last.read_bytes()[:100])
    with pytest.raises(InputError, match=r"last\.pt is damaged"):
        run(tmp_path, QUICK.model_copy(update={"resume": True}))


def test_a_subset_without_wells_is_refused(tmp_path) -> None:
    data = wells()
    manifest = manifest_of(data, held_out=0)
    with pytest.raises(InputError, match=r"the split has no validation wells: splitting\.val_from"):
        train(data, manifest, MODEL, QUICK, CheckpointStore(tmp_path), lambda *_: None)


def test_half_precision_needs_a_gpu(tmp_path) -> None:
    with pytest.raises(InputError, match="fp16 needs a GPU"):
        run(tmp_path, QUICK.model_copy(update={"precision": "fp16"}))


def test_biases_norms_and_the_scale_do_not_decay() -> None:
    layer = torch.nn.Sequential(torch.nn.Linear(3, 3), torch.nn.LayerNorm(3))
    decayed, spared = build_optimizer(layer, learning_rate=1.0, weight_decay=0.2).param_groups
    assert [p.ndim for p in decayed["params"]] == [2]
    assert decayed["weight_decay"] == 0.2
    assert [p.ndim for p in spared["params"]] == [1, 1, 1]
    assert spared["weight_decay"] == 0


def test_the_learning_rate_warms_up_and_ends_at_nought() -> None:
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=2.0)
    schedule = warmup_then_cosine(optimizer, warmup_steps=4, total_steps=12)
    rates = []
    for _ in range(12):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        schedule.step()
    assert rates[:5] == [0.5, 1.0, 1.5, 2.0, 2.0]
    assert rates[8] == pytest.approx(1.0)
    assert optimizer.param_groups[0]["lr"] == pytest.approx(0)


def test_a_run_that_is_killed_in_its_fourth_epoch_goes_on_to_the_same_bits(tmp_path) -> None:
    whole = run(tmp_path / "whole")
    context = torch.multiprocessing.get_context("spawn")
    for delay in (0.004, 0.001, 0.0):
        folder = tmp_path / f"killed{delay}"
        process = context.Process(target=run_until_killed, args=(folder, delay))
        process.start()
        process.join()
        assert process.exitcode == -signal.SIGKILL
        last = torch.load(next(folder.rglob("last.pt")), weights_only=True)
        if last["epoch"] == 3:
            break
    assert last["epoch"] == 3
    resumed = run(folder, QUICK.model_copy(update={"resume": True}))
    pd.testing.assert_frame_equal(whole.history, resumed.history)
    assert_same_member(whole, resumed)
