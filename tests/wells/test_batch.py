"""Packed sites."""

import torch
from hypothesis import given
from hypothesis import strategies as st

from morphoclip.wells.batch import WellBatch


def batch(counts: list[int]) -> WellBatch:
    offsets = torch.tensor([0, *counts]).cumsum(0)
    return WellBatch(torch.arange(sum(counts) * 6.0).reshape(-1, 2, 3), offsets)


@given(
    counts=st.lists(st.integers(1, 4), min_size=1, max_size=6),
    picks=st.lists(st.integers(0, 5), min_size=1, max_size=8),
)
def test_selected_wells_bring_their_own_sites(counts: list[int], picks: list[int]) -> None:
    whole = batch(counts)
    wells = torch.tensor([pick % len(counts) for pick in picks])
    chosen = whole.select(wells)
    assert len(chosen) == len(wells)
    for row, well in enumerate(wells):
        torch.testing.assert_close(
            chosen.tokens[chosen.offsets[row] : chosen.offsets[row + 1]],
            whole.tokens[whole.offsets[well] : whole.offsets[well + 1]],
        )


def test_padding_holds_the_sites_and_a_mask_of_them() -> None:
    features, site_mask = batch([2, 1]).padded()
    assert features.shape == (2, 2, 2, 3)
    assert site_mask.tolist() == [[True, True], [True, False]]
    assert features[1, 1].abs().sum() == 0
