"""What a random order scores, in closed form; also the expectation over tied candidates."""

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pandas as pd
from numpy.typing import NDArray

CUTOFFS = (1, 5, 10)


@dataclass(frozen=True)
class NullConfig:
    """Draws and seed of every null distribution."""

    size: int
    seed: int


def chance_metrics(n_candidates: int, n_true: int) -> dict[str, float]:
    """Expected metrics of one query under a uniformly random order; closed forms."""
    expected = dict(first_rank_metrics(0, n_candidates, n_true))
    for k in CUTOFFS:
        ranks = np.arange(1, min(k, n_candidates) + 1)
        others = (n_true - 1) / (n_candidates - 1) if n_candidates > 1 else 0.0
        precision = (1 + (ranks - 1) * others) / ranks
        expected[f"map@{k}"] = float((n_true / n_candidates * precision).sum() / min(n_true, k))
    return expected


def expected_metrics(sizes: list[tuple[int, int]]) -> dict[str, float]:
    """Means over queries of their expected metrics under random orders."""
    counts = pd.Series(sizes).value_counts()
    table = pd.DataFrame([_cached_chance(*size) for size in counts.index])
    means = table.drop(columns="rank").mul(counts.to_numpy(), axis=0).sum() / len(sizes)
    return means.to_dict() | {"median_rank": _median_of_random_ranks(sizes)}


@lru_cache(maxsize=4096)
def _cached_chance(n_candidates: int, n_true: int) -> dict[str, float]:
    return chance_metrics(n_candidates, n_true)


@lru_cache(maxsize=4096)
def first_rank_law(n: int, m: int) -> NDArray[np.float64]:
    """P(first of m marked is at place r) in a random order of n, r = 1 to n."""
    places = np.arange(n)
    still_none = np.cumprod(np.concatenate([[1.0], np.maximum(n - m - places, 0) / (n - places)]))
    return np.asarray(-np.diff(still_none))


@lru_cache(maxsize=65536)
def first_rank_metrics(better: int, tied: int, true_tied: int) -> dict[str, float]:
    """Expected metrics of the first truth: ``better`` candidates before a tie that holds it."""
    law = first_rank_law(tied, true_tied)
    ranks = better + np.arange(1, tied + 1)
    metrics = {f"recall@{k}": float(law[ranks <= k].sum()) for k in CUTOFFS}
    return metrics | {"mrr": float((law / ranks).sum()), "rank": float((law * ranks).sum())}


def _median_of_random_ranks(sizes: list[tuple[int, int]]) -> float:
    """Median over the mixture of the queries' first-rank laws under a random order.

    Half way between two ranks where exactly half of the mass lies at or below the lower one.
    """
    mixture = np.zeros(max(n for n, _ in sizes))
    for (n, m), count in pd.Series(sizes).value_counts().items():
        mixture[:n] += count * first_rank_law(n, m)
    cumulated = np.cumsum(mixture / len(sizes))
    lower = int(np.searchsorted(cumulated, 0.5 - 1e-9)) + 1
    upper = int(np.searchsorted(cumulated, 0.5 + 1e-9)) + 1
    return (lower + upper) / 2


def harmonic_numbers(n: int) -> NDArray[np.float64]:
    """H_0 to H_n."""
    return np.concatenate([[0.0], np.cumsum(1 / np.arange(1, n + 1))])
