"""Retrieval with exact ties, beside chance in closed form.

Candidates are distinct texts. Where candidates tie, a metric takes its expected value over random
orders of the tied ones, so that a collapsed model scores chance and not luck. Similarities are
rounded to 1e-6 before they are compared.
"""

from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.sparse import csr_array

from morphoclip.columns import Modality
from morphoclip.metrics.bootstrap import Bootstrap, interval_95, resampling_counts
from morphoclip.metrics.chance import (
    CUTOFFS,
    expected_metrics,
    first_rank_metrics,
    harmonic_numbers,
)
from morphoclip.metrics.matrix import Matrix
from morphoclip.metrics.ranking import DECIMALS, rank_candidates
from morphoclip.schemas.evaluation import RETRIEVAL_METRICS

METRICS = (
    *(f"recall@{k}" for k in CUTOFFS),
    "mrr",
    *(f"map@{k}" for k in CUTOFFS),
    "median_rank",
)


class Block(NamedTuple):
    """Queries that rank the same candidates: similarities and truths, both ``(Q, N)``."""

    similarity: Matrix
    relevant: NDArray[np.bool_]


class Scope(NamedTuple):
    """Blocks of queries that are scored together.

    ``group`` is the perturbation of each query, ``(Q,)`` over all blocks: intervals are over
    perturbations. ``own_modality`` counts the candidates of each query's modality, ``(Q,)``.
    """

    name: str
    blocks: list[Block]
    group: NDArray[np.int64]
    own_modality: NDArray[np.int64]


def retrieval_table(
    image: Matrix,
    prompt_of_well: NDArray[np.int64],
    text: Matrix,
    modality: NDArray[np.str_],
    bootstrap: Bootstrap = Bootstrap(),  # noqa: B008 - immutable
) -> pd.DataFrame:
    """All retrieval metrics of one subset.

    ``chance`` is a random order of all candidates; ``modality_oracle`` a random order that puts
    those of the query's modality first, which recognising the plate is enough for; ``ci_low`` and
    ``ci_high`` a 95 % bootstrap interval over perturbations.

    Args:
        image: Unit vectors of the subset's wells, ``(B, E)``.
        prompt_of_well: Row of ``text`` that is true of each well, ``(B,)``.
        text: Unit vectors of the subset's distinct texts, ``(P, E)``.
        modality: Modality of each text, ``(P,)``.
        bootstrap: Draws and seed of the intervals.

    Returns:
        The columns of ``retrieval_metrics`` but ``subset``.
    """
    consensus = consensus_profiles(image, prompt_of_well, len(text))
    levels = {
        "well": (image, prompt_of_well),
        "perturbation": (consensus, np.arange(len(text))),
    }
    rows = []
    for level, (profiles, truth) in levels.items():
        similarity = np.round(profiles.astype(np.float64) @ text.T.astype(np.float64), DECIMALS)
        relevant = truth[:, None] == np.arange(len(text))[None, :]
        of_profile = modality[truth]
        directions = {
            "image_to_text": (Block(similarity, relevant), truth, of_profile, modality),
            "text_to_image": (
                Block(similarity.T, relevant.T),
                np.arange(len(text)),
                modality,
                of_profile,
            ),
        }
        for direction, tables in directions.items():
            for scope in _scopes(*tables):
                rows += [
                    {"scope": scope.name, "level": level, "direction": direction, **row}
                    for row in _measure(scope, len(text), bootstrap)
                ]
    columns = [c for c in RETRIEVAL_METRICS.columns if c != "subset"]
    return pd.DataFrame(rows)[columns]


def consensus_profiles(
    image: Matrix, prompt_of_well: NDArray[np.int64], n_prompts: int
) -> NDArray[np.float64]:
    """Mean of the wells of each text, back to unit length: ``(P, E)``."""
    n_wells = len(prompt_of_well)
    is_of = csr_array(
        (np.ones(n_wells), (prompt_of_well, np.arange(n_wells))), shape=(n_prompts, n_wells)
    )
    sums = is_of @ image.astype(np.float64)
    length = np.linalg.norm(sums, axis=1, keepdims=True)
    return np.divide(sums, length, out=np.zeros_like(sums), where=length > 0)


def similarity_to_texts(
    image: Matrix, prompt_of_well: NDArray[np.int64], text: Matrix
) -> NDArray[np.float64]:
    """Cosine of the consensus profile of each text's wells to every text, ``(P, P)``."""
    consensus = consensus_profiles(image, prompt_of_well, len(text))
    return np.asarray(consensus @ text.T.astype(np.float64))


def mrr_within_modality(
    image: Matrix, prompt_of_well: NDArray[np.int64], text: Matrix, modality: NDArray[np.str_]
) -> float:
    """Perturbation-level image-to-text MRR, candidates of the query's own modality."""
    reciprocal = reciprocal_ranks_by_modality(image, prompt_of_well, text, modality)
    return float(np.mean(np.concatenate([np.diag(block) for block in reciprocal])))


def reciprocal_ranks_by_modality(
    image: Matrix, prompt_of_well: NDArray[np.int64], text: Matrix, modality: NDArray[np.str_]
) -> list[NDArray[np.float64]]:
    """For each modality ``(P_M, P_M)``: 1 / rank of text j for the consensus profile of text i."""
    similarity = similarity_to_texts(image, prompt_of_well, text)
    blocks = []
    for name in np.unique(modality):
        rows = np.flatnonzero(modality == name)
        blocks.append(reciprocal_ranks(similarity[np.ix_(rows, rows)]))
    return blocks


def reciprocal_ranks(similarity: Matrix) -> NDArray[np.float64]:
    """``(Q, N)``: 1 / rank of each candidate of each query, ties as their expectation."""
    rounded = np.round(similarity, DECIMALS)
    pairs = list(zip(np.sort(-rounded, axis=1), -rounded, strict=True))
    better = np.stack([np.searchsorted(ordered, row, "left") for ordered, row in pairs])
    up_to = np.stack([np.searchsorted(ordered, row, "right") for ordered, row in pairs])
    harmonic = harmonic_numbers(similarity.shape[1])
    return np.asarray((harmonic[up_to] - harmonic[better]) / (up_to - better))


def permutation_test(
    reciprocal: list[NDArray[np.float64]], *, null_size: int, seed: int
) -> dict[str, float]:
    """The MRR of `reciprocal_ranks_by_modality` against texts permuted within their modality.

    The p-value counts permutations that do at least as well, itself among them.
    """
    n_queries = sum(len(block) for block in reciprocal)
    value = sum(float(np.trace(block)) for block in reciprocal) / n_queries
    rng = np.random.default_rng(seed)
    null = np.zeros(null_size)
    for block in reciprocal:
        rows = np.arange(len(block))
        for start in range(0, null_size, 10_000):
            stop = min(start + 10_000, null_size)
            order = rng.permuted(np.tile(rows, (stop - start, 1)), axis=1)
            null[start:stop] += block[rows, order].sum(axis=1) / n_queries
    return {
        "value": value,
        "null_mean": float(null.mean()),
        "null_p95": float(np.quantile(null, 0.95)),
        "p_value": float((np.sum(null >= value - 1e-12) + 1) / (null_size + 1)),
        "null_size": null_size,
    }


def query_metrics(block: Block) -> pd.DataFrame:
    """Recall@k, reciprocal rank, AP@k and rank of the first truth, one row per query.

    A rank is the expected one; queries without a truth among the candidates must not be given.

    Raises:
        ValueError: A query has no truth.
    """
    n_true = block.relevant.sum(axis=1)
    if (n_true == 0).any():
        raise ValueError("a query without a true candidate has no rank")
    ranking = rank_candidates(block.similarity, block.relevant, max(CUTOFFS))
    kinds, kind_of_query = np.unique(ranking.first, axis=0, return_inverse=True)
    firsts = pd.DataFrame([first_rank_metrics(*map(int, kind)) for kind in kinds])
    precision = {
        f"map@{k}": ranking.gains[:, :k].sum(axis=1) / np.minimum(n_true, k) for k in CUTOFFS
    }
    return firsts.iloc[kind_of_query].reset_index(drop=True).assign(**precision)


def _scopes(
    everything: Block,
    group: NDArray[np.int64],
    of_query: NDArray[np.str_],
    of_candidate: NDArray[np.str_],
) -> Iterator[Scope]:
    """Overall; within the query's modality; and each modality alone."""
    sizes = {str(m): int((of_candidate == m).sum()) for m in Modality}
    yield Scope("overall", [everything], group, np.array([sizes[m] for m in of_query]))
    parts = {}
    for modality in Modality:
        queries = np.flatnonzero(of_query == modality)
        if len(queries):
            pairs = np.ix_(queries, np.flatnonzero(of_candidate == modality))
            block = Block(everything.similarity[pairs], everything.relevant[pairs])
            size = np.full(len(queries), sizes[str(modality)])
            parts[str(modality)] = Scope(str(modality), [block], group[queries], size)
    yield Scope(
        "within_modality",
        [part.blocks[0] for part in parts.values()],
        np.concatenate([part.group for part in parts.values()]),
        np.concatenate([part.own_modality for part in parts.values()]),
    )
    yield from parts.values()


def _measure(scope: Scope, n_groups: int, bootstrap: Bootstrap) -> Iterator[dict[str, object]]:
    """One row per metric: value, interval, chance, what recognising the modality reaches."""
    measured = pd.concat([query_metrics(block) for block in scope.blocks], ignore_index=True)
    n_true = np.concatenate([block.relevant.sum(axis=1) for block in scope.blocks])
    n_candidates = np.concatenate(
        [np.full(len(block.relevant), block.relevant.shape[1]) for block in scope.blocks]
    )
    baselines = {
        "chance": list(zip(n_candidates.tolist(), n_true.tolist(), strict=True)),
        "modality_oracle": list(zip(scope.own_modality.tolist(), n_true.tolist(), strict=True)),
    }
    expected = {name: expected_metrics(sizes) for name, sizes in baselines.items()}
    weights = _draws(n_groups, scope.group, bootstrap)
    for metric in METRICS:
        values = measured["rank" if metric == "median_rank" else metric].to_numpy()
        resampled = (
            _weighted_medians(values, scope.group, weights)
            if metric == "median_rank"
            else _weighted_means(values, scope.group, weights)
        )
        low, high = interval_95(resampled)
        yield {
            "metric": metric,
            "value": float(np.median(values) if metric == "median_rank" else values.mean()),
            **{name: numbers[metric] for name, numbers in expected.items()},
            "ci_low": low,
            "ci_high": high,
            "n_queries": len(values),
            "n_candidates": int(n_candidates.max()),
        }


def _draws(n_groups: int, group: NDArray[np.int64], bootstrap: Bootstrap) -> NDArray[np.float64]:
    """How often each perturbation is in each draw, ``(draws, n_groups)``."""
    present = np.unique(group)
    weights = np.zeros((bootstrap.draws, n_groups))
    weights[:, present] = resampling_counts(len(present), bootstrap)
    return weights


def _weighted_means(
    values: NDArray[np.float64], group: NDArray[np.int64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    n_groups = weights.shape[1]
    sums = np.bincount(group, values, minlength=n_groups)
    sizes = np.bincount(group, minlength=n_groups)
    return np.asarray((weights @ sums) / (weights @ sizes))


def _weighted_medians(
    values: NDArray[np.float64], group: NDArray[np.int64], weights: NDArray[np.float64]
) -> NDArray[np.float64]:
    """The lower median of each draw, a few draws at a time."""
    order = np.argsort(values, kind="stable")
    medians = []
    for some in np.array_split(weights, max(len(weights) * len(values) // 4_000_000, 1)):
        cumulated = np.cumsum(some[:, group[order]], axis=1)
        place = (cumulated < cumulated[:, [-1]] / 2).sum(axis=1)
        medians.append(values[order][place])
    return np.concatenate(medians)
