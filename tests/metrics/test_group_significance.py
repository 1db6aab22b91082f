"""p of mean average precisions: copairs' where nothing ties, and an oracle where chance does."""

import numpy as np
import pandas as pd
import pytest
from copairs.compute import get_null_dists
from copairs.map import mean_average_precision

from morphoclip.metrics import average_precision
from morphoclip.metrics.average_precision import score_groups
from morphoclip.metrics.chance import NullConfig

NULL = NullConfig(size=2000, seed=0)


def scored(sizes: list[tuple[int, int]], values: list[float], groups: list[str]) -> pd.DataFrame:
    """Average precisions as copairs gives them."""
    table = pd.DataFrame(sizes, columns=["n_pos_pairs", "n_total_pairs"])
    return table.assign(
        average_precision=np.asarray(values, dtype=np.float32),
        normalized_average_precision=0.0,
        group=groups,
        Metadata_subset="test",
    )


def of_copairs(scores: pd.DataFrame, tmp_path) -> pd.Series:
    found = mean_average_precision(
        scores, ["group"], NULL.size, 0.05, NULL.seed, progress_bar=False, cache_dir=tmp_path
    )
    return found.set_index("group")["corrected_p_value"]


def of_ours(scores: pd.DataFrame) -> pd.Series:
    found = score_groups(scores, "group", NULL)
    assert found is not None
    return found.groups.set_index("group")["q"]


def test_without_ties_they_are_those_of_copairs(tmp_path) -> None:
    rng = np.random.default_rng(0)
    n_groups = 40
    sizes = [(3, 67), (3, 67), (5, 69), (3, 67)] * n_groups
    groups = [f"g{n}" for n in range(n_groups) for _ in range(4)]
    scores = scored(sizes, list(rng.uniform(0.02, 0.6, 4 * n_groups)), groups)
    ours, theirs = of_ours(scores), of_copairs(scores, tmp_path)
    assert ours.nunique() > 10
    pd.testing.assert_series_equal(ours, theirs, check_names=False, rtol=1e-6)


def test_a_match_that_chance_finds_in_one_order_of_seventeen(tmp_path) -> None:
    """Two replicates among sixteen controls, the other one first."""
    scores = scored([(1, 17), (1, 17)], [1.0, 1.0], ["g", "g"])
    assert of_copairs(scores, tmp_path)["g"] == pytest.approx(1 / 2001)
    assert of_ours(scores)["g"] == pytest.approx(1 / 17, rel=0.2)


def test_p_is_the_share_of_draws_that_are_as_large(tmp_path) -> None:
    """Few pairs, where most means are some that chance gives; groups of one and of two kinds."""
    rng = np.random.default_rng(1)
    kinds = [(1, 9), (2, 8)]
    rows = [(kind, n) for n in range(30) for kind in (kinds if n % 2 else kinds[:1] * 3)]
    nulls = get_null_dists(
        np.array(kinds), NULL.size, NULL.seed, cache_dir=tmp_path, progress_bar=False
    )
    values = [float(rng.choice(nulls[kinds.index(kind)])) for kind, _ in rows]
    scores = scored([kind for kind, _ in rows], values, [f"g{n:02d}" for _, n in rows])
    codes = np.array([kinds.index(kind) for kind, _ in rows])
    p_values = average_precision._p_of_means(scores, "group", nulls, codes)
    for name, own in scores.groupby("group"):
        null = nulls[codes[own.index]].astype(float).mean(axis=0)
        value = own["average_precision"].astype(float).mean()
        n_as_large = int((null >= value - 1e-6).sum())
        assert p_values[name] == pytest.approx((n_as_large + 1) / (NULL.size + 1))
