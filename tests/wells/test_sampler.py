"""Batches of an epoch."""

import itertools

import torch
from hypothesis import given
from hypothesis import strategies as st

from morphoclip.wells.batch import WellBatch
from morphoclip.wells.sampler import DrawnBy, _pairs, epoch_batches, epoch_seed, sites_of_epoch

# 10 perturbations, each with two wells on each of two plates
PERTURBATIONS = torch.arange(10).repeat(4)
PLATES = torch.tensor([0] * 20 + [1] * 20)
ROWS = torch.arange(40)
PLATE_ROWS = torch.arange(40) % 5 + 1


def batches(sampler: str, seed: int = 0, batch_size: int = 8) -> list[torch.Tensor]:
    labels = DrawnBy(PERTURBATIONS, PLATES, PLATE_ROWS)
    return epoch_batches(
        ROWS, labels, sampler=sampler, batch_size=batch_size, seed=seed, plates_per_block=1
    )


@given(
    seed=st.integers(0, 999),
    sampler=st.sampled_from(["random", "perturbation_aware", "row_aware", "plate_blocks"]),
)
def test_every_well_is_in_one_batch_and_the_seed_decides(seed: int, sampler: str) -> None:
    drawn = batches(sampler, seed)
    assert sorted(torch.cat(drawn).tolist()) == ROWS.tolist()
    assert max(map(len, drawn)) <= 8
    again = batches(sampler, seed)
    assert all(torch.equal(one, other) for one, other in zip(drawn, again, strict=True))


@given(seed=st.integers(0, 999))
def test_aware_batches_hold_replicates_of_two_plates(seed: int) -> None:
    for batch in batches("perturbation_aware", seed):
        for one, other in batch.reshape(-1, 2).tolist():
            assert PERTURBATIONS[one] == PERTURBATIONS[other]
            assert PLATES[one] != PLATES[other]


@given(seed=st.integers(0, 999))
def test_row_aware_batches_hold_wells_of_one_row(seed: int) -> None:
    drawn = batches("row_aware", seed)
    assert [len(set(PLATE_ROWS[batch].tolist())) for batch in drawn] == [1] * 5
    wider = batches("row_aware", seed, batch_size=12)
    assert all(len(set(PLATE_ROWS[batch].tolist())) <= 3 for batch in wider)
    orders = {tuple(batch.tolist()) for s in range(20) for batch in batches("row_aware", s)}
    assert len(orders) > 20, "rows and wells come in another order each time"


def literal_pairs(rows: list[int], perturbations: list[int], plates: list[int]) -> list[list[int]]:
    pairs = []
    for perturbation in dict.fromkeys(perturbations[row] for row in rows):
        left = [row for row in rows if perturbations[row] == perturbation]
        while left:
            first = left.pop(0)
            partner = ([row for row in left if plates[row] != plates[first]] or left)[:1]
            pairs.append([first, *partner])
            left = [row for row in left if row not in partner]
    return pairs


@given(
    labels=st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3)), min_size=1, max_size=30),
    seed=st.integers(0, 99),
)
def test_pairs_are_those_that_a_literal_search_finds(labels, seed: int) -> None:
    perturbations, plates = map(list, zip(*labels, strict=True))
    rows = torch.randperm(len(labels), generator=torch.Generator().manual_seed(seed))
    found = list(_pairs(rows, torch.tensor(perturbations), torch.tensor(plates)))
    assert found == literal_pairs(rows.tolist(), perturbations, plates)


@given(seed=st.integers(0, 999))
def test_blocks_of_plates_come_one_after_the_other(seed: int) -> None:
    drawn = torch.cat(batches("plate_blocks", seed))
    assert PLATES[drawn].unique_consecutive().tolist() in ([0, 1], [1, 0])
    assert drawn[:20].sort().values.tolist() != drawn[:20].tolist()


def test_wells_without_a_partner_are_kept() -> None:
    drawn = epoch_batches(
        torch.arange(5), DrawnBy(torch.arange(5), torch.zeros(5), torch.ones(5)),
        sampler="perturbation_aware", batch_size=3, seed=0,
    )  # fmt: skip
    assert sorted(torch.cat(drawn).tolist()) == [0, 1, 2, 3, 4]


def test_a_last_batch_of_one_well_is_left_out() -> None:
    drawn = batches("random", batch_size=13)
    assert [len(batch) for batch in drawn] == [13, 13, 13]


def test_epochs_have_seeds_of_their_own() -> None:
    assert len({epoch_seed(42, epoch) for epoch in range(50)}) == 50
    assert epoch_seed(42, 1) != epoch_seed(43, 1)


def test_some_sites_of_each_well_are_drawn_anew_in_each_epoch() -> None:
    offsets = torch.tensor([0, 3, 4, 9])
    assert sites_of_epoch(offsets, None, seed=0) is None
    draws = torch.stack([sites_of_epoch(offsets, 2, seed=seed) for seed in range(300)])
    for first, last in itertools.pairwise(offsets.tolist()):
        taken = draws[:, first:last].sum(1)
        assert (taken == min(2, last - first)).all()
        share = draws[:, first:last].double().mean(0)
        assert torch.allclose(share, share.mean(), atol=0.12)
    assert torch.equal(draws[0], sites_of_epoch(offsets, 2, seed=0))


def test_drawn_sites_are_those_of_their_wells() -> None:
    tokens = torch.arange(9.0).view(9, 1, 1)
    batch = WellBatch(tokens, torch.tensor([0, 3, 4, 9]))
    kept = torch.tensor([1, 0, 1, 1, 0, 1, 0, 0, 1], dtype=torch.bool)
    drawn = batch.read(torch.tensor([2, 0]), kept)
    assert drawn.tokens.flatten().tolist() == [5, 8, 0, 2]
    assert drawn.offsets.tolist() == [0, 2, 4]
