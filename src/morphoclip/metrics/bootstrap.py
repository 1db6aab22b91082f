"""Bootstrap intervals over perturbations: how far a number moves when they are drawn again."""

from typing import NamedTuple

import numpy as np
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
