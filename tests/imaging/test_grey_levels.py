"""Counts of the camera to model input."""

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morphoclip.columns import PLATE, SITE, WELL
from morphoclip.imaging.config import Normalisation
from morphoclip.imaging.grey_levels import (
    GreyRange,
    grey_map,
    histogram,
    image_levels,
    percentile_of,
    plate_levels,
    sample_sites,
)

ANY = GreyRange(100, 1100)


def scale_plane(
    plane: np.ndarray, normalisation: Normalisation, plate_range: GreyRange
) -> np.ndarray:
    """Literally what a grey map says."""
    low, gain, floor, ceiling = grey_map(plane, normalisation, plate_range)
    return np.clip((plane.astype(float) - low) * gain, floor, ceiling)


def picture(seed: int = 0, shape: tuple[int, int] = (40, 50)) -> np.ndarray:
    return np.random.default_rng(seed).integers(50, 4000, shape).astype(np.uint16)


@given(seed=st.integers(0, 2**16), rank=st.integers(0, 1999))
def test_percentiles_are_the_inverted_cumulative_distribution(seed: int, rank: int) -> None:
    plane = picture(seed)  # 2000 pixels
    percent = (rank + 0.5) / 20
    expected = np.percentile(plane, percent, method="inverted_cdf")
    assert percentile_of(histogram(plane), percent) == expected


@pytest.mark.parametrize("normalisation", list(Normalisation))
def test_a_constant_image_becomes_finite_everywhere(normalisation: Normalisation) -> None:
    scaled = scale_plane(np.full((9, 9), 700, np.uint16), normalisation, GreyRange(700, 700))
    assert np.isfinite(scaled).all()
    assert len(np.unique(scaled)) == 1


def test_the_plates_range_becomes_nought_to_one_and_is_clipped() -> None:
    plane = np.array([[0, 100, 600, 1100, 9000]], np.uint16)
    scaled = scale_plane(plane, Normalisation.PLATE_PERCENTILE, ANY)
    assert scaled.tolist() == [[0, 0, 0.5, 1, 1]]


def test_uint16_divides_by_the_types_largest_value_in_8_bits_too() -> None:
    assert scale_plane(np.array([[65535]], np.uint16), Normalisation.UINT16, ANY) == 1
    assert scale_plane(np.array([[51]], np.uint8), Normalisation.UINT16, ANY)[0, 0] == 0.2


@pytest.mark.parametrize(
    "normalisation", [Normalisation.MINMAX_SITE, Normalisation.SELF_STANDARDISE]
)
def test_gain_and_offset_of_the_camera_do_not_matter(normalisation: Normalisation) -> None:
    plane = picture()
    brighter = (plane * 3 + 500).astype(np.uint16)
    np.testing.assert_allclose(
        scale_plane(plane, normalisation, ANY), scale_plane(brighter, normalisation, ANY), atol=1e-5
    )


def test_plate_percentiles_undo_a_plates_gain_and_offset() -> None:
    plane = picture()
    brighter = (plane * 3 + 500).astype(np.uint16)
    ranges = [
        GreyRange(levels["p0_1"], levels["p99_9"])
        for levels in (plate_levels([plane]), plate_levels([brighter]))
    ]
    scaled = [
        scale_plane(image, Normalisation.PLATE_PERCENTILE, grey)
        for image, grey in zip((plane, brighter), ranges, strict=True)
    ]
    np.testing.assert_allclose(scaled[0], scaled[1], atol=1e-6)


def test_eight_and_sixteen_bits_of_one_picture_agree() -> None:
    eight = np.random.default_rng(1).integers(0, 256, (64, 64)).astype(np.uint8)
    sixteen = eight.astype(np.uint16) * 257
    for normalisation in Normalisation:
        scaled = [
            scale_plane(plane, normalisation, GreyRange(*(f * factor for f in (10, 200))))
            for plane, factor in ((eight, 1), (sixteen, 257))
        ]
        assert np.abs(scaled[0] - scaled[1]).max() <= 1 / 255


def test_saturation_counts_pixels_at_the_top_of_the_range() -> None:
    plane = np.array([[65535, 1], [2, 65535]], np.uint16)
    assert image_levels(plane).saturated_fraction == 0.5
    assert image_levels(plane).maximum == 65535


def test_sampling_takes_the_same_sites_whatever_the_order() -> None:
    wells = [f"{row}{col:02d}" for row in "ABCDEFGH" for col in range(1, 13)]
    sites = pd.DataFrame(
        [(plate, well, site) for plate in "PQ" for well in wells for site in (1, 2, 3)],
        columns=[PLATE, WELL, SITE],
    )
    sampled = sample_sites(sites)
    shuffled = sample_sites(sites.sample(frac=1, random_state=3))
    key = [PLATE, WELL, SITE]
    assert sampled.groupby(PLATE)[WELL].nunique().tolist() == [64, 64]
    assert len(sampled) == 128
    pd.testing.assert_frame_equal(
        sampled.sort_values(key, ignore_index=True), shuffled.sort_values(key, ignore_index=True)
    )
