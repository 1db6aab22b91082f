"""One row a held-out perturbation: how well each way of ranking finds its words.

Rows of several rankers on the same perturbations can be compared pair by pair, and intervals are
taken over perturbations: they, not wells, are what a sample is of.
"""

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morphoclip.metrics.chance import chance_metrics
from morphoclip.metrics.retrieval import DECIMALS, Block, Matrix, query_metrics
from morphoclip.schemas import MODALITY, PROMPT_DIGEST, QUERIES, QUERY_SUMMARY

METRICS = ("mrr", "recall@1", "recall@5")
MODEL = "model"


def query_rows(
    similarity: Matrix, digests: NDArray[np.str_], modality: NDArray[np.str_], ranker: str
) -> pd.DataFrame:
    """Image-to-text retrieval of each perturbation among those of its modality.

    Args:
        similarity: Of perturbation i to words j, ``(P, P)``.
        digests: Digest of each prompt, ``(P,)``.
        modality: Modality of each, ``(P,)``.
        ranker: A name for the way of ranking.
    """
    parts = []
    for name in np.unique(modality):
        own = np.flatnonzero(modality == name)
        rounded = np.round(similarity[np.ix_(own, own)], DECIMALS)
        block = Block(rounded, np.eye(len(own), dtype=bool))
        chance = chance_metrics(len(own), 1)
        part = query_metrics(block)[list(METRICS)].assign(
            **{PROMPT_DIGEST: digests[own], MODALITY: name, "n_candidates": len(own)},
            **{f"{metric}_chance": chance[metric] for metric in METRICS},
        )
        parts.append(part)
    table = pd.concat(parts, ignore_index=True).assign(ranker=ranker, fold=0, seed=0)
    return table[list(QUERIES.columns)]


def summarise_queries(queries: pd.DataFrame, *, draws: int, seed: int) -> pd.DataFrame:
    """Means over perturbations with 95 % bootstrap intervals, and differences to the model.

    A perturbation's value is its mean over seeds; ``sd_over_seeds`` is that of the seeds' means.
    ``difference`` is ranker minus model, over the same draws of perturbations.
    """
    rows = []
    for scope in ("within_modality", *sorted(queries[MODALITY].unique())):
        chosen = queries if scope == "within_modality" else queries[queries[MODALITY] == scope]
        for metric in METRICS:
            rows += _summaries(chosen, metric, draws=draws, seed=seed, scope=scope)
    return pd.DataFrame(rows)[list(QUERY_SUMMARY.columns)]


def _summaries(
    queries: pd.DataFrame, metric: str, *, draws: int, seed: int, scope: str
) -> list[dict[str, object]]:
    values = queries.pivot_table(metric, PROMPT_DIGEST, "ranker", aggfunc="mean")
    chance = queries.groupby(PROMPT_DIGEST)[f"{metric}_chance"].mean().mean()
    weights = _bootstrap_weights(len(values), draws, seed)
    resampled = pd.DataFrame(weights @ values.to_numpy(), columns=values.columns)
    of_seeds = queries.groupby(["ranker", "seed"])[metric].mean()
    summaries = []
    for ranker in values.columns:
        low, high = np.quantile(resampled[ranker], [0.025, 0.975])
        difference = resampled[ranker] - resampled.get(MODEL, np.nan)
        own = {
            "scope": scope,
            "metric": metric,
            "ranker": ranker,
            "value": values[ranker].mean(),
            "ci_low": low,
            "ci_high": high,
            "chance": chance,
            "sd_over_seeds": of_seeds[ranker].std(),
            "n_queries": len(values),
            "n_seeds": len(of_seeds[ranker]),
            "difference": values[ranker].mean() - values.get(MODEL, pd.Series(dtype=float)).mean(),
            "difference_low": difference.quantile(0.025),
            "difference_high": difference.quantile(0.975),
        }
        summaries.append(own)
    return summaries


def _bootstrap_weights(n: int, draws: int, seed: int) -> NDArray[np.float64]:
    """Shares of n perturbations in each of the draws, ``(draws, n)``."""
    rng = np.random.default_rng(seed)
    return rng.multinomial(n, np.full(n, 1 / n), size=draws) / n


def verdict(summary: pd.DataFrame) -> str:
    """One plain sentence: which rankers the model is told from, and which not."""
    mrr = summary[(summary["scope"] == "within_modality") & (summary["metric"] == "mrr")]
    others = mrr[mrr["ranker"] != MODEL].set_index("ranker")
    beaten = sorted(others.index[others["difference_high"] < 0])
    beating = sorted(others.index[others["difference_low"] > 0])
    even = sorted(set(others.index) - set(beaten) - set(beating))
    ahead = set(others.index[others["difference"] > 0])
    clauses = [
        f"{said} "
        + ", ".join(
            name.replace("_", " ") + (" (ahead)" if name in ahead and names is even else "")
            for name in names
        )
        for said, names in (
            ("beats", beaten),
            ("cannot be told apart from", even),
            ("is beaten by", beating),
        )
        if names
    ]
    return (
        "By the 95 % intervals of paired differences in MRR, the trained model "
        f"{'; '.join(clauses)}."
    )
