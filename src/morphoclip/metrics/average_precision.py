"""Average precision of groups through copairs, with its chance and its q-values."""

import tempfile
from dataclasses import dataclass
from math import comb

import numpy as np
import pandas as pd
from copairs.compute import get_null_dists
from copairs.map import average_precision, mean_average_precision, multilabel
from scipy.stats import false_discovery_control

from morphoclip.columns import (
    SUBSET,
)
from morphoclip.metrics.chance import NullConfig, harmonic_numbers
from morphoclip.metrics.conditions import single_subset
from morphoclip.metrics.matrix import Matrix

LEVEL = 0.05
"""False discovery rate below which a group counts as retrieved."""

_NUMBERS_AT_A_TIME = 2**18
"""What copairs takes of profiles in each of its threads, about: a megabyte, which stays in a
processor's cache. By itself it takes 20,000 pairs of profiles, however wide they are."""


@dataclass(frozen=True)
class Scored:
    """Average precisions of queries, and of the groups they make up.

    ``groups`` holds ``mean_average_precision``, ``q`` (modern), ``q_legacy`` and the subset (None
    where a group is of several); ``chance`` is the expected mean. ``legacy`` are the groups by
    which the paper's rule counts, where they are others.
    """

    groups: pd.DataFrame
    chance: pd.Series
    coarsest: float
    legacy: pd.DataFrame | None = None

    @property
    def by_paper(self) -> pd.DataFrame:
        """The groups by which the paper's rule counts."""
        return self.groups if self.legacy is None else self.legacy


def expected_average_precision(n_positive: int, n_total: int) -> float:
    """AP of a random order: ``[H_N + (m - 1) / (N - 1) (N - H_N)] / N``."""
    if n_total < 2:
        return 1.0
    harmonic = float(harmonic_numbers(n_total)[-1])
    rest = (n_positive - 1) / (n_total - 1) * (n_total - harmonic)
    return (harmonic + rest) / n_total


def average_precisions(
    table: pd.DataFrame,
    matrix: Matrix,
    *,
    distance: str = "cosine",
    labels: str | None = None,
    **keys: list[str],
) -> pd.DataFrame:
    """Average precision of each row of ``table``, whose profiles are ``matrix`` ``(N, E)``.

    Args:
        table: What ``keys`` name; nothing else, as copairs copies it.
        matrix: Profiles.
        distance: copairs' name of it.
        labels: A column of lists, any of which may be shared.
        keys: copairs' ``pos_sameby``, ``pos_diffby``, ``neg_sameby`` and ``neg_diffby``.
    """
    at_a_time = max(1, _NUMBERS_AT_A_TIME // matrix.shape[1])
    arguments = {**keys, "distance": distance, "batch_size": at_a_time, "progress_bar": False}
    meta = table.reset_index(drop=True)
    features = np.ascontiguousarray(matrix, dtype=np.float32)
    if labels is None:
        scores = average_precision(meta, features, **arguments)
    else:
        scores = multilabel.average_precision(meta, features, multilabel_col=labels, **arguments)
    return scores.dropna(subset=["average_precision"])


def score_groups(scores: pd.DataFrame, group: str, null: NullConfig) -> Scored | None:
    """Mean average precision by group, beside chance; None without any score."""
    if scores.empty:
        return None
    with tempfile.TemporaryDirectory() as cache:
        groups = mean_average_precision(
            scores, [group], null.size, LEVEL, null.seed, progress_bar=False, cache_dir=cache
        )
        legacy = _legacy_q(scores, group, null, cache)
    groups = groups.set_index(group)
    sizes = list(zip(scores["n_pos_pairs"], scores["n_total_pairs"], strict=True))
    expected = {size: expected_average_precision(*map(int, size)) for size in set(sizes)}
    chance = scores.assign(chance=[expected[s] for s in sizes]).groupby(group)["chance"].mean()
    subsets = scores.groupby(group)[SUBSET].agg(single_subset)
    table = pd.DataFrame(
        {
            "mean_average_precision": groups["mean_average_precision"],
            "q": groups["corrected_p_value"],
            "q_legacy": legacy,
            SUBSET: subsets,
        }
    ).rename_axis(group)
    coarsest = max(1 / comb(int(n), int(m)) for m, n in set(sizes))
    return Scored(table.reset_index(), chance.reindex(table.index).reset_index(drop=True), coarsest)


def _legacy_q(scores: pd.DataFrame, group: str, null: NullConfig, cache: str) -> pd.Series:
    """The paper's rule (copairs 880f22a): p per well, the mean of -log10 p per group, then BH.

    Strictly larger draws count, as there; the null is seeded, which it was not there.
    """
    sizes = scores[["n_pos_pairs", "n_total_pairs"]].astype(int)
    configurations, which = np.unique(sizes.to_numpy(), axis=0, return_inverse=True)
    nulls = np.sort(
        get_null_dists(configurations, null.size, null.seed, cache_dir=cache, progress_bar=False)
    )
    values = scores["average_precision"].to_numpy(dtype=np.float32)
    larger = np.array(
        [
            null.size - np.searchsorted(nulls[row], value, "right")
            for row, value in zip(which.ravel(), values, strict=True)
        ]
    )
    p_values = (larger + 1) / (null.size + 1)
    mean_log = scores.assign(log_p=-np.log10(p_values)).groupby(group)["log_p"].mean()
    adjusted = false_discovery_control(np.clip(10.0**-mean_log, 0, 1))
    return pd.Series(adjusted, index=mean_log.index)
