"""Profiles of several spaces: found by their names, and the spread over them."""

import numpy as np
import pandas as pd
import pytest

from morphoclip.evaluation.profiles import dimension_names
from morphoclip.evaluation.spaces import Spaces, space_widths
from morphoclip.metrics.matrix import unit_rows


def table(*widths: int, shares: list[float]) -> pd.DataFrame:
    rng = np.random.default_rng(0)
    blocks = [
        np.sqrt(share) * unit_rows(rng.standard_normal((30, width)))
        for width, share in zip(widths, shares, strict=True)
    ]
    return pd.DataFrame(np.concatenate(blocks, axis=1), columns=dimension_names(*widths))


def test_names_say_where_a_space_begins() -> None:
    assert dimension_names(3) == ["embedding_0", "embedding_1", "embedding_2"]
    assert dimension_names(2, 1) == ["embedding_1_0", "embedding_1_1", "embedding_2_0"]
    assert space_widths(dimension_names(512)) == [512]
    assert space_widths(dimension_names(512, 512, 276)) == [512, 512, 276]
    assert space_widths(dimension_names(12, 12)) == [12, 12]


def test_the_spread_is_that_of_each_spaces_own_cosine() -> None:
    profiles = table(5, 7, 3, shares=[0.25, 0.25, 0.5])
    spaces = Spaces.of(profiles)
    assert spaces.shares == pytest.approx([0.25, 0.25, 0.5])
    matrix = profiles.to_numpy()
    queries, candidates = matrix[:10], matrix[10:20]
    parts = [slice(0, 5), slice(5, 12), slice(12, 15)]
    cosines = np.stack(
        [(unit_rows(queries[:, p]) * unit_rows(candidates[:, p])).sum(axis=1) for p in parts]
    )
    np.testing.assert_allclose(spaces.spread(queries, candidates), cosines.std(axis=0, ddof=1))
    np.testing.assert_allclose(
        (queries * candidates).sum(axis=1), np.array([0.25, 0.25, 0.5]) @ cosines
    )


def test_one_space_has_no_spread() -> None:
    profiles = table(6, shares=[1.0])
    assert np.isnan(Spaces.of(profiles).spread(profiles.to_numpy(), profiles.to_numpy())).all()
