"""Average precision of groups, with its chance and its q-values."""

import tempfile
from dataclasses import dataclass
from math import comb

import numpy as np
import pandas as pd
from copairs.compute import get_null_dists
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from morphoclip.columns import (
    SUBSET,
)
from morphoclip.metrics.chance import NullConfig, harmonic_numbers
from morphoclip.metrics.conditions import single_subset

LEVEL = 0.05
"""False discovery rate below which a group counts as retrieved."""

_ROUNDING = 1e-6
"""By how much an average precision in single precision may miss the same one in the null."""

_MOST_OF_COPAIRS = 2**27
"""Draws times candidates of a null that copairs is asked for: it holds a byte of each, twice."""

_DIGITS = 3
"""To which more than 999 others are rounded: of 96,000, fifty change no null."""


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


def null_precisions(configurations: NDArray[np.int64], null: NullConfig) -> NDArray[np.float32]:
    """Average precisions of random orders, ``(configurations, draws)``.

    By copairs, which shuffles all candidates in every draw; where that would take gigabytes, the
    places of the matches are drawn alone, which has the same distribution.

    Args:
        configurations: Matches, and matches and others; ``(K, 2)``.
        null: Draws and seed.
    """
    nulls = np.empty((len(configurations), null.size), dtype=np.float32)
    is_small = configurations[:, 1] * null.size <= _MOST_OF_COPAIRS
    if is_small.any():
        with tempfile.TemporaryDirectory() as cache:
            nulls[is_small] = get_null_dists(
                configurations[is_small], null.size, null.seed, cache_dir=cache, progress_bar=False
            )
    large = configurations[~is_small]
    if len(large):
        n_others = large[:, 1] - large[:, 0]
        scale = 10.0 ** np.maximum(np.floor(np.log10(n_others)) - _DIGITS + 1, 0)
        rounded = (np.round(n_others / scale) * scale).astype(np.int64)
        kinds, which = np.unique(np.stack([large[:, 0], rounded], 1), axis=0, return_inverse=True)
        seeds = np.random.SeedSequence(null.seed).spawn(len(kinds))
        drawn = [
            _drawn_precisions(int(matches), int(others), null.size, np.random.default_rng(seed))
            for (matches, others), seed in zip(kinds, seeds, strict=True)
        ]
        nulls[~is_small] = np.stack(drawn)[which.ravel()]
    return nulls


def _drawn_precisions(
    n_positive: int, n_others: int, n_draws: int, rng: np.random.Generator
) -> NDArray[np.float32]:
    """Average precision of so many matches at random places among others, ``(draws,)``."""
    rank = np.arange(1, n_positive + 1)
    values = np.empty(n_draws, dtype=np.float32)
    for draw in range(n_draws):
        places = rng.choice(n_positive + n_others, n_positive, replace=False, shuffle=False)
        values[draw] = (rank / (np.sort(places) + 1)).mean()
    return values


def score_groups(scores: pd.DataFrame, group: str, null: NullConfig) -> Scored | None:
    """Mean average precision by group, beside chance; None without any score."""
    if scores.empty:
        return None
    sizes = scores[["n_pos_pairs", "n_total_pairs"]].astype(int)
    configurations, which = np.unique(sizes.to_numpy(), axis=0, return_inverse=True)
    nulls = null_precisions(configurations, null)
    expected = np.array([expected_average_precision(*map(int, size)) for size in configurations])
    by_group = scores.assign(chance=expected[which.ravel()]).groupby(group)
    table = pd.DataFrame(
        {
            "mean_average_precision": by_group["average_precision"].mean(),
            "q": _adjusted(_p_of_means(scores, group, nulls, which.ravel())),
            "q_legacy": _legacy_q(scores, group, nulls, which.ravel()),
            SUBSET: by_group[SUBSET].agg(single_subset),
        }
    ).rename_axis(group)
    coarsest = max(1 / comb(int(total), int(positive)) for positive, total in configurations)
    chance = by_group["chance"].mean().reindex(table.index).reset_index(drop=True)
    return Scored(table.reset_index(), chance, coarsest)


def _p_of_means(
    scores: pd.DataFrame, group: str, nulls: NDArray[np.float32], which: NDArray[np.integer]
) -> pd.Series:
    """How often a group's mean average precision comes by chance, this mean or a larger one.

    As copairs has it, the null of a group is the mean of its wells' nulls, draw by draw. copairs up
    to 0.5.5 counts larger draws alone, which makes p too small where the mean is one that chance
    gives often: two replicates among sixteen controls are first in one order of seventeen.

    Args:
        scores: One row per well.
        group: What groups them.
        nulls: ``(configurations, draws)``.
        which: Row of ``nulls`` of each well.
    """
    codes, names = pd.factorize(scores[group], sort=True)
    counts = np.zeros((len(names), len(nulls)), dtype=np.int64)
    np.add.at(counts, (codes, which), 1)
    means = scores["average_precision"].groupby(codes).mean().to_numpy(dtype=np.float64)
    kinds, kind_of = np.unique(counts, axis=0, return_inverse=True)
    p_values = np.empty(len(names))
    n_draws = nulls.shape[1]
    for kind, own in enumerate(kinds):
        used = np.flatnonzero(own)
        null = np.sort(own[used] @ nulls[used].astype(np.float64) / own.sum())
        rows = kind_of.ravel() == kind
        n_as_large = n_draws - np.searchsorted(null, means[rows] - _ROUNDING, "left")
        p_values[rows] = (n_as_large + 1) / (n_draws + 1)
    return pd.Series(p_values, index=names)


def _legacy_q(
    scores: pd.DataFrame, group: str, nulls: NDArray[np.float32], which: NDArray[np.integer]
) -> pd.Series:
    """The paper's rule (copairs 880f22a): p per well, the mean of -log10 p per group, then BH.

    Strictly larger draws count, as there; the null is seeded, which it was not there.
    """
    ordered = np.sort(nulls, axis=1)
    values = scores["average_precision"].to_numpy(dtype=np.float32)
    n_draws = nulls.shape[1]
    larger = np.array(
        [
            n_draws - np.searchsorted(ordered[row], value, "right")
            for row, value in zip(which, values, strict=True)
        ]
    )
    p_values = (larger + 1) / (n_draws + 1)
    mean_log = scores.assign(log_p=-np.log10(p_values)).groupby(group)["log_p"].mean()
    return _adjusted(10.0**-mean_log)


def _adjusted(p_values: pd.Series) -> pd.Series:
    """Q by Benjamini and Hochberg."""
    return pd.Series(false_discovery_control(np.clip(p_values, 0, 1)), index=p_values.index)
