"""Bootstrap intervals over perturbations: how far a number moves when they are drawn again."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray


class Bootstrap(NamedTuple):
    """Draws and seed of bootstrap intervals."""

    draws: int = 1000
    seed: int = 0


def resampling_counts(n: int, bootstrap: Bootstrap) -> NDArray[np.float64]:
    """How often each of n perturbations is in each draw with replacement, ``(draws, n)``."""
    rng = np.random.default_rng(bootstrap.seed)
    return rng.multinomial(n, np.full(n, 1 / n), size=bootstrap.draws).astype(np.float64)


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
    weights = resampling_counts(len(values), bootstrap) / len(values)
    means = values.mean()
    resampled = pd.DataFrame(weights @ values.to_numpy(), columns=values.columns)
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
