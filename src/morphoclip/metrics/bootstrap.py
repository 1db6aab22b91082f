"""Bootstrap intervals over perturbations: how far a number moves when they are drawn again."""

from collections.abc import Iterator
from functools import lru_cache
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

_NUMBERS_AT_A_TIME = 2**22


class Bootstrap(NamedTuple):
    """Draws and seed of bootstrap intervals."""

    draws: int = 1000
    seed: int = 0


@lru_cache(maxsize=1)  # the metrics of one table are of the same perturbations
def resampling_counts(n: int, bootstrap: Bootstrap) -> NDArray[np.uint16]:
    """How often each of n perturbations is in each draw with replacement, ``(draws, n)``."""
    rng = np.random.default_rng(bootstrap.seed)
    counts = np.empty((bootstrap.draws, n), dtype=np.uint16)
    for some in _some_draws(counts):
        counts[some] = rng.multinomial(n, np.full(n, 1 / n), size=some.stop - some.start)
    counts.flags.writeable = False
    return counts


def drawn_sums(counts: NDArray[np.uint16], values: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sums over each draw of values ``(n, ...)``: ``(draws, ...)``."""
    found = np.empty((len(counts), *values.shape[1:]))
    for some in _some_draws(counts):
        found[some] = counts[some].astype(np.float64) @ values
    return found


def _some_draws(counts: NDArray[np.uint16]) -> Iterator[slice]:
    """Draws that are held in eight bytes a number at a time."""
    n_draws, n = counts.shape
    at_a_time = max(1, _NUMBERS_AT_A_TIME // max(n, 1))
    for start in range(0, n_draws, at_a_time):
        yield slice(start, min(start + at_a_time, n_draws))


def interval_95(resampled: NDArray[np.float64]) -> tuple[float, float]:
    """The 2.5 and 97.5 % quantiles of a resampled number ``(draws,)``."""
    low, high = np.quantile(resampled, [0.025, 0.975])
    return float(low), float(high)


def compare_means(values: pd.DataFrame, reference: str, bootstrap: Bootstrap) -> pd.DataFrame:
    """Means of columns with 95 % intervals, and their differences to a reference column.

    Args:
        values: One row per perturbation, drawn together; one column per method.
        reference: The column that others are compared with; without it differences are NaN.
        bootstrap: Draws and seed.

    Returns:
        One row per column: ``value``, ``ci_low``, ``ci_high``, and ``difference``,
        ``difference_low``, ``difference_high`` of column minus reference over the same draws.
    """
    means = values.mean()
    drawn = drawn_sums(resampling_counts(len(values), bootstrap), values.to_numpy())
    resampled = pd.DataFrame(drawn / len(values), columns=values.columns)
    beside = resampled.get(reference, float("nan"))
    rows = {}
    for name in values.columns:
        low, high = interval_95(resampled[name].to_numpy())
        difference_low, difference_high = interval_95((resampled[name] - beside).to_numpy())
        rows[name] = {
            "value": means[name],
            "ci_low": low,
            "ci_high": high,
            "difference": means[name] - means.get(reference, float("nan")),
            "difference_low": difference_low,
            "difference_high": difference_high,
        }
    return pd.DataFrame.from_dict(rows, orient="index")
