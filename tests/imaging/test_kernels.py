"""The compiled loops beside NumPy's own words for them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from morphoclip.imaging.kernels import count_levels, laplacian_variance

planes = st.sampled_from([np.uint8, np.uint16]).flatmap(
    lambda dtype: arrays(dtype, st.tuples(st.integers(1, 9), st.integers(1, 9)))
)


@given(planes)
def test_levels_are_counted_as_bincount_does(plane: np.ndarray) -> None:
    n_levels = np.iinfo(plane.dtype).max + 1
    expected = np.bincount(plane.ravel(), minlength=n_levels)
    np.testing.assert_array_equal(count_levels(plane, n_levels), expected)


@given(planes)
def test_the_laplacian_is_that_of_every_other_row(plane: np.ndarray) -> None:
    grey = plane.astype(float)
    around = grey[:-2, 1:-1] + grey[2:, 1:-1] + grey[1:-1, :-2] + grey[1:-1, 2:]
    laplacian = (around - 4 * grey[1:-1, 1:-1])[::2]
    expected = laplacian.var() if laplacian.size else 0.0
    assert laplacian_variance(plane) == pytest.approx(expected, rel=1e-9, abs=1e-3)
