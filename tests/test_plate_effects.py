"""What a plate adds, and how it goes."""

import pandas as pd
import pytest
import torch

from morphoclip.columns import PLATE, ROLE, WELL
from morphoclip.errors import InputError
from morphoclip.plate_correction import (
    TokenNormalisation,
    fit_correction,
    fit_plane,
    reference_wells,
)
from morphoclip.plate_effects import align_by_batch_mean, align_by_offset, condition_offsets


def plate(sites: int = 40, seed: int = 0) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randn(sites, 2, 6, generator=generator)
    return tokens, torch.arange(sites) < sites // 2


def corrected(
    tokens: torch.Tensor, reference: torch.Tensor, kind: TokenNormalisation
) -> torch.Tensor:
    place = torch.stack([torch.arange(len(tokens)) // 8, torch.arange(len(tokens)) % 8], dim=1)
    fitted = fit_correction(tokens[reference], place[reference], kind, plate="P")
    return fitted.apply(tokens, place)


def less_plane(tokens: torch.Tensor, place: torch.Tensor, reference: torch.Tensor) -> torch.Tensor:
    return fit_plane(tokens[reference], place[reference], plate="P").less(tokens, place)


@pytest.mark.parametrize("kind", ["negcon_zscore", "negcon_plane_zscore", "negcon_sphering"])
def test_a_plates_gain_and_offset_go(kind: str) -> None:
    tokens, reference = plate()
    kind = TokenNormalisation(kind)
    torch.testing.assert_close(
        corrected(tokens, reference, kind),
        corrected(3 * tokens + 5, reference, kind),
        atol=1e-4,
        rtol=1e-4,
    )


def test_reference_sites_end_at_nought_and_one() -> None:
    tokens, reference = plate()
    controls = corrected(tokens, reference, TokenNormalisation.NEGCON_ZSCORE)
    controls = controls[reference]
    torch.testing.assert_close(controls.mean(0), torch.zeros(2, 6), atol=1e-5, rtol=0)
    torch.testing.assert_close(controls.std(0), torch.ones(2, 6))


def test_sphering_damps_what_controls_have_in_common() -> None:
    generator = torch.Generator().manual_seed(1)
    shared = torch.randn(200, 1, 1, generator=generator)
    tokens = shared + 0.3 * torch.randn(200, 1, 6, generator=generator)
    reference = torch.ones(200, dtype=torch.bool)
    sphered = corrected(tokens, reference, TokenNormalisation.NEGCON_SPHERING)

    def along_to_across(values: torch.Tensor) -> float:
        variances = torch.linalg.eigvalsh(torch.cov(values.squeeze(1).T))
        return float(variances[-1] / variances[0])

    assert along_to_across(sphered) < along_to_across(tokens) / 5


def test_no_normalisation_changes_nothing() -> None:
    tokens, reference = plate()
    assert corrected(tokens, reference, TokenNormalisation.NONE) is tokens


def test_a_plate_without_controls_is_refused() -> None:
    tokens, reference = plate()
    with pytest.raises(
        InputError, match=r"plate P has 0 site.*token_normalisation to plate_zscore"
    ):
        corrected(tokens, reference & False, TokenNormalisation.NEGCON_ZSCORE)


def test_reference_wells_are_half_of_each_plates_controls_in_any_order() -> None:
    wells = pd.DataFrame(
        [(p, f"A{n:02d}", "negcon" if n < 8 else "trt") for p in "PQ" for n in range(1, 13)],
        columns=[PLATE, WELL, ROLE],
    )
    chosen = wells[reference_wells(wells)]
    shuffled = wells.sample(frac=1, random_state=1)
    again = shuffled[reference_wells(shuffled)]
    assert chosen.groupby(PLATE).size().tolist() == [4, 4]
    assert set(chosen[ROLE]) == {"negcon"}
    assert set(map(tuple, chosen.to_numpy())) == set(map(tuple, again.to_numpy()))


def test_batch_mean_leaves_lone_wells_and_moves_the_others() -> None:
    wells = torch.tensor([[1.0, 0], [0, 1], [1, 0]])
    aligned = align_by_batch_mean(wells, torch.tensor([4, 4, 9]))
    half = 0.5**0.5
    expected = torch.tensor([[half, -half], [-half, half], [1, 0]])
    torch.testing.assert_close(aligned, expected)


def test_two_equal_wells_of_a_plate_become_nought_not_nan() -> None:
    wells = torch.tensor([[1.0, 0], [1, 0]])
    assert torch.equal(align_by_batch_mean(wells, torch.tensor([1, 1])), torch.zeros(2, 2))


def test_batch_mean_removes_a_plates_shift() -> None:
    generator = torch.Generator().manual_seed(0)
    wells = torch.randn(8, 4, generator=generator)
    plates = torch.tensor([0] * 4 + [1] * 4)
    shifted = wells + torch.tensor([[0.0] * 4, [3, -1, 2, 5]])[plates]
    aligned = align_by_batch_mean(wells, plates)
    torch.testing.assert_close(align_by_batch_mean(shifted, plates), aligned)


def test_offsets_are_what_a_plate_has_that_its_condition_has_not() -> None:
    wells = torch.tensor([[1.0, 0], [0, 1], [0.6, 0.8]])
    plates, conditions = torch.tensor([0, 1, 2]), torch.tensor([0, 0, 1])
    offsets = condition_offsets(wells, plates, conditions)
    torch.testing.assert_close(offsets, torch.tensor([[0.5, -0.5], [-0.5, 0.5], [0, 0]]))
    half = 0.5**0.5
    expected = torch.tensor([[half, half], [half, half], [0.6, 0.8]])
    torch.testing.assert_close(align_by_offset(wells, plates, offsets), expected)


def test_offsets_take_a_plates_shift_and_leave_a_conditions() -> None:
    generator = torch.Generator().manual_seed(0)
    plates = torch.arange(4).repeat_interleave(50)
    conditions = torch.tensor([0, 0, 1, 1])
    plate_shift = torch.tensor([[2.0, 0], [-2, 0], [0, 1], [0, -1]])
    condition_shift = torch.tensor([[0.0, 9], [9, 0]])
    wells = 0.01 * torch.randn(200, 2, generator=generator)
    wells = wells + plate_shift[plates] + condition_shift[conditions[plates]]
    offsets = condition_offsets(wells, plates, conditions)
    torch.testing.assert_close(offsets, plate_shift, atol=0.01, rtol=0)


def test_a_plate_without_reference_wells_has_no_offset_and_gives_none() -> None:
    offsets = condition_offsets(
        torch.tensor([[1.0, 0], [0, 1]]), torch.tensor([0, 1]), torch.tensor([0, 0, 0])
    )
    torch.testing.assert_close(offsets, torch.tensor([[0.5, -0.5], [-0.5, 0.5], [0, 0]]))


def positions(rows: int = 8, columns: int = 12) -> torch.Tensor:
    grid = torch.cartesian_prod(torch.arange(1, rows + 1), torch.arange(1, columns + 1))
    return grid.repeat_interleave(2, dim=0)  # two sites a well


def test_what_changes_along_rows_and_columns_goes_and_the_rest_stays() -> None:
    place = positions()
    generator = torch.Generator().manual_seed(0)
    tokens = torch.randn(len(place), 2, 6, generator=generator)
    slopes = torch.randn(2, 2, 6, generator=generator)
    tilted = tokens + torch.einsum("sp,pcd->scd", place.float(), slopes)
    well = place[:, 0] * 100 + place[:, 1]
    reference = well % 3 == 0
    before = less_plane(tokens, place, reference)
    after = less_plane(tilted, place, reference)
    left = (after - before).std(0) / (tilted - tokens).std(0)
    assert left.max() < 0.05, "ridge of the weight of one well leaves a little"
    assert (before - tokens).std(0).max() < 0.7 * tokens.std(0).min()


def test_controls_of_one_row_say_nothing_of_rows() -> None:
    place = positions()
    tokens = place[:, :1, None].float().repeat(1, 1, 3)
    reference = place[:, 0] == 2
    torch.testing.assert_close(less_plane(tokens, place, reference), tokens)


def test_few_controls_measure_no_plane() -> None:
    place = positions()
    tokens = torch.zeros(len(place), 1, 3)
    reference = (place[:, 0] == 1) & (place[:, 1] <= 5)
    with pytest.raises(InputError, match="plate P has 5 well"):
        less_plane(tokens, place, reference)
