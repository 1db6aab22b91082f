"""Several pairs of towers, how long they are trained, and what they become together."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
import torch
from small_training import (
    MODEL,
    QUICK,
    Interrupted,
    SilentLog,
    StopAfter,
    manifest_of,
    wells,
    wells_with_facts,
)

from morphoclip.columns import ENTITY, GENE, MODALITY, PLATE, SUBSET, WELL
from morphoclip.errors import InputError
from morphoclip.models.embedding import embed, embed_text, embed_with_parts
from morphoclip.models.trained import TrainedModel
from morphoclip.splits.inner_folds import inner_manifests, with_validation_joined
from morphoclip.training.checkpoints import CheckpointStore
from morphoclip.training.config import TrainingConfig
from morphoclip.training.members import best_epoch, seed_of_member, train_members
from morphoclip.training.trainer import TrainingResult, train

THREE = QUICK.model_copy(update={"epochs": 3, "members": 3})
BESIDE = MODEL.model_copy(update={"closed_form": "kernel_cca", "closed_form_weight": 0.5})


def members_of(folder, config: TrainingConfig = THREE, model=MODEL, data=None) -> TrainingResult:
    data = data or wells()
    return train_members(
        data, manifest_of(data), model, config, CheckpointStore(folder), SilentLog()
    )


def test_each_member_is_the_training_of_its_seed(tmp_path) -> None:
    together = members_of(tmp_path / "all")
    data = wells()
    for number, member in enumerate(together.model.members, start=1):
        seed = seed_of_member(THREE, number)
        alone = THREE.model_copy(update={"seed": seed, "members": 1})
        store = CheckpointStore(tmp_path / str(number))
        expected = train(data, manifest_of(data), MODEL, alone, store, StopAfter(None)).model
        for name, weights in expected.members[0].state.items():
            assert torch.equal(weights, member.state[name])
    assert len({seed_of_member(THREE, n) for n in (1, 2, 3)}) == 3
    assert seed_of_member(THREE, 1) == THREE.seed
    assert together.history.groupby("training")["epoch"].max().to_dict() == {
        "member 1": 3, "member 2": 3, "member 3": 3
    }  # fmt: skip


def test_one_member_is_the_model_as_it_was(tmp_path) -> None:
    data = wells()
    one = QUICK.model_copy(update={"epochs": 3})
    expected = train(
        data, manifest_of(data), MODEL, one, CheckpointStore(tmp_path / "a"), StopAfter(None)
    ).model
    found = members_of(tmp_path / "b", one).model
    assert found.digest == expected.digest
    (part,) = found.parts()
    own = embed(part.module, data, batch_size=7, device="cpu")
    joint = embed_with_parts(found, data, batch_size=7, device="cpu")
    np.testing.assert_array_equal(joint.image, own.image)
    np.testing.assert_array_equal(joint.text, own.text)


def test_the_joint_cosine_is_the_weighted_mean_of_the_parts(tmp_path) -> None:
    data = wells_with_facts()
    model = members_of(tmp_path, model=BESIDE, data=data).model
    joint = embed_with_parts(model, data, batch_size=7, device="cpu")
    expected = 0.0
    shares = []
    for part in model.parts():
        own = embed(part.module, data, batch_size=7, device="cpu")
        expected = expected + part.share * own.image @ own.text.T
        shares.append(part.share)
    assert shares == pytest.approx([2 / 9] * 3 + [1 / 3]), "half the weight of three together"
    np.testing.assert_allclose(joint.image @ joint.text.T, expected, atol=1e-6)
    np.testing.assert_allclose(np.linalg.norm(joint.image, axis=1), 1, atol=1e-6)
    assert joint.widths == (8, 8, 8, 8)


def test_a_model_of_parts_is_stored_and_read(tmp_path) -> None:
    data = wells_with_facts()
    model = members_of(tmp_path / "m", model=BESIDE, data=data).model
    torch.save(model.to_payload(), tmp_path / "model.pt")
    read = TrainedModel.from_payload(torch.load(tmp_path / "model.pt", weights_only=True))
    assert read.digest == model.digest
    assert read.fact_names == model.fact_names
    one, other = (embed_with_parts(m, data, batch_size=8, device="cpu") for m in (model, read))
    np.testing.assert_array_equal(one.image, other.image)
    np.testing.assert_array_equal(one.text, other.text)
    changed = {name: weight + 1 for name, weight in (model.closed_form or {}).items()}
    assert replace(model, closed_form=changed).digest != model.digest
    with pytest.raises(InputError, match="earlier version"):
        TrainedModel.from_payload({"config": {}, "state": {}})


def test_facts_are_found_by_name_and_unknown_ones_are_left_out(tmp_path, caplog) -> None:
    data = wells_with_facts()
    model = members_of(tmp_path, model=BESIDE, data=data).model
    order = torch.tensor([3, 1, 0, 2])
    words, facts = data.text[:, :10], data.text[:, 10:]
    shuffled = torch.cat([facts[:, 8:], torch.ones(16, 1), facts[:, :4][:, order]], dim=1)
    names = {"dose": ("1", "2", "3"), "target": ("new", "G3", "G1", "G0", "G2")}
    with caplog.at_level("INFO"):
        read = model.read_text(torch.cat([words, shuffled], dim=1), names)
    expected = torch.cat([words, facts[:, :4], torch.zeros(16, 4), facts[:, 8:]], dim=1)
    assert torch.equal(read, expected)
    assert "1 known fact(s) are left out" in caplog.text
    alone = embed_text(model, words)
    np.testing.assert_allclose(np.linalg.norm(alone, axis=1), 1, atol=1e-6)


def test_all_epochs_are_trained_on_the_validation_wells_too(tmp_path) -> None:
    config = QUICK.model_copy(update={"epochs": 4, "stopping": "none"})
    result = members_of(tmp_path / "a", config)
    assert result.model.validation_joined
    assert result.model.members[0].epoch == 4
    assert result.history["validation_loss"].isna().all()
    data = wells()
    joined = with_validation_joined(manifest_of(data))
    store = CheckpointStore(tmp_path / "b")
    expected = train(data, joined, MODEL, config, store, StopAfter(None)).model.members[0]
    for name, weights in expected.state.items():
        assert torch.equal(weights, result.model.members[0].state[name])
    early = members_of(tmp_path / "c", QUICK.model_copy(update={"epochs": 4})).model
    assert not early.validation_joined
    assert early.manifest_sha256 == result.model.manifest_sha256, "of the split that was given"


INNER = QUICK.model_copy(update={"epochs": 5, "stopping": "inner_folds", "inner_folds": 4})


def test_as_many_inner_folds_are_trained_as_are_asked_for(tmp_path) -> None:
    result = members_of(tmp_path, INNER)
    inner = result.history[result.history["training"].str.startswith("inner fold")]
    assert inner.groupby("training")["epoch"].max().to_dict() == {
        f"inner fold {n}": 5 for n in (1, 2, 3, 4)
    }
    assert (inner["n_validation_texts"] == 4).all(), "16 prompts in four folds"
    chosen = int(inner.groupby("epoch")["validation_loss"].mean().idxmin())
    assert result.model.members[0].epoch == chosen
    member = result.history[result.history["training"] == "member 1"]
    assert member["epoch"].tolist() == list(range(1, chosen + 1))
    assert not list((tmp_path / "inner_folds").rglob("*.pt")), "only their epochs are kept"


def test_the_epoch_is_best_on_average_over_perturbations() -> None:
    def history(name: str, values: list[float], n: int) -> pd.DataFrame:
        return pd.DataFrame(
            {"training": name, "epoch": [1, 2, 3], "validation_mrr_within_modality": values,
             "validation_loss": [-v for v in values], "n_validation_texts": n}
        )  # fmt: skip

    early = QUICK.early_stopping.model_copy(update={"metric": "validation_mrr_within_modality"})
    config = INNER.model_copy(update={"early_stopping": early})
    large, small = history("a", [0.1, 0.3, 0.2], 30), history("b", [0.9, 0.1, 0.1], 2)
    assert best_epoch([large, small], config) == 2
    assert best_epoch([large, small.assign(n_validation_texts=30)], config) == 1
    flat = history("a", [0.2, 0.2, 0.2], 5)
    assert best_epoch([flat], config) == 1, "the earliest of equal ones"
    assert best_epoch([large], INNER) == 2, "by the loss, the least"


def test_a_run_that_is_stopped_among_its_inner_folds_goes_on_to_the_same_bits(tmp_path) -> None:
    whole = members_of(tmp_path / "whole", INNER)
    for stop_in in ("inner fold 3", "member 1"):
        folder = tmp_path / stop_in

        class Stops(SilentLog):
            def __call__(self, epoch: int, _: object) -> None:
                if self.names[-1] == self.stop_in and epoch == 1:
                    raise Interrupted

            stop_in = "inner fold 3" if "inner" in folder.name else "member 1"

        data = wells()
        two = INNER.model_copy(update={"members": 2})
        config = INNER if "inner" in stop_in else two
        expected = whole if "inner" in stop_in else members_of(tmp_path / "two", two)
        with pytest.raises(Interrupted):
            train_members(data, manifest_of(data), MODEL, config, CheckpointStore(folder), Stops())
        again = SilentLog()
        resumed = train_members(
            data, manifest_of(data), MODEL, config.model_copy(update={"resume": True}),
            CheckpointStore(folder), again,
        )  # fmt: skip
        assert resumed.model.digest == expected.model.digest
        pd.testing.assert_frame_equal(resumed.history, expected.history)
        done_before = {"inner fold 1", "inner fold 2"}
        assert not done_before & set(again.names), "they are not trained again"


def manifest(subsets: str, genes: str) -> pd.DataFrame:
    """One well a letter: t, v, s (test) or x (excluded); genes of a letter each, - for none."""
    names = {"t": "train", "v": "validation", "s": "test", "x": "excluded"}
    return pd.DataFrame(
        {
            PLATE: [f"P{n % 2}" for n in range(len(subsets))],
            WELL: [f"A{n:02d}" for n in range(len(subsets))],
            MODALITY: "compound",
            ENTITY: [f"e{n}" for n in range(len(subsets))],
            GENE: [None if gene == "-" else gene for gene in genes],
            SUBSET: [names[letter] for letter in subsets],
        }
    )


def test_every_well_that_is_learnt_from_validates_once_and_test_wells_never() -> None:
    table = manifest("tttttvvvssx", "abcdefghabz")
    folds = list(inner_manifests(table, 4, seed=1))
    used = table[SUBSET].isin(["train", "validation"]).to_numpy()
    validates = np.stack([(fold[SUBSET] == "validation").to_numpy() for fold in folds])
    assert (validates.sum(axis=0) == used).all()
    for fold in folds:
        assert (fold.loc[~used, SUBSET] == "excluded").all()
    other = list(inner_manifests(table, 4, seed=2))
    assert any((a[SUBSET] != b[SUBSET]).any() for a, b in zip(folds, other, strict=True))


@pytest.mark.parametrize(
    ("genes", "together"), [("aabbccddxyz", "gene"), ("aabbccddaab", "entity")]
)
def test_inner_folds_keep_together_what_the_split_does(genes: str, together: str) -> None:
    table = manifest("tttttvvvssx", genes)
    apart = False
    for fold in inner_manifests(table, 3, seed=1):
        pairs = fold[SUBSET].to_numpy()[:8].reshape(4, 2)
        apart |= bool((pairs[:, 0] != pairs[:, 1]).any())
    assert apart == (together == "entity")


def test_too_few_groups_for_the_folds_is_a_sentence() -> None:
    with pytest.raises(InputError, match=r"2 group\(s\) of train and validation wells cannot make"):
        list(inner_manifests(manifest("tvs", "abc"), 3, seed=1))
