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
from morphoclip.metrics.bootstrap import Bootstrap, drawn_sums, interval_95, resampling_counts
from morphoclip.metrics.chance import CUTOFFS, expected_metrics, harmonic_numbers
from morphoclip.metrics.matrix import Matrix
from morphoclip.metrics.query_metrics import SIMILARITIES_AT_A_TIME, Side, measured_queries
from morphoclip.metrics.ranking import DECIMALS
from morphoclip.schemas.evaluation import RETRIEVAL_METRICS

METRICS = (
    *(f"recall@{k}" for k in CUTOFFS),
    "mrr",
    *(f"map@{k}" for k in CUTOFFS),
    "median_rank",
)


_PERMUTED_AT_A_TIME = 2**28
"""Entries of permutations: 1 GiB."""


class Scope(NamedTuple):
    """Queries that are scored together, Q of them.

    Attributes:
        name: What a table calls it.
        measured: Metrics of each query.
        group: Its perturbation, ``(Q,)``: intervals are over perturbations.
        n_true: Its true candidates, ``(Q,)``.
        n_candidates: Its candidates, ``(Q,)``.
        own_modality: Those of its modality, ``(Q,)``.
    """

    name: str
    measured: pd.DataFrame
    group: NDArray[np.int64]
    n_true: NDArray[np.int64]
    n_candidates: NDArray[np.int64]
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
    texts = Side(text, np.arange(len(text)), modality)
    consensus = consensus_profiles(image, prompt_of_well, len(text))
    levels = {
        "well": Side(image, prompt_of_well, modality[prompt_of_well]),
        "perturbation": Side(consensus, texts.group, modality),
    }
    rows = []
    for level, profiles in levels.items():
        directions = {"image_to_text": (profiles, texts), "text_to_image": (texts, profiles)}
        for direction, (queries, candidates) in directions.items():
            for scope in _scopes(queries, candidates):
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


class OwnTexts(NamedTuple):
    """Consensus profiles of a modality's N texts, and these texts; ``(N, E)``, float64.

    Similarities are held of some profiles at a time: all of them are 80 GB at 100,000 texts.
    """

    profiles: Matrix
    texts: Matrix

    def similarities(self) -> Iterator[tuple[NDArray[np.int64], NDArray[np.float64]]]:
        """Rows of some profiles, and their similarity to every text, rounded, ``(Q, N)``."""
        n_texts = len(self.texts)
        at_a_time = max(1, SIMILARITIES_AT_A_TIME // n_texts)
        for start in range(0, n_texts, at_a_time):
            rows = np.arange(start, min(start + at_a_time, n_texts))
            yield rows, np.round(self.profiles[rows] @ self.texts.T, DECIMALS)


def texts_by_modality(
    image: Matrix, prompt_of_well: NDArray[np.int64], text: Matrix, modality: NDArray[np.str_]
) -> list[OwnTexts]:
    """The perturbations of each modality."""
    consensus = consensus_profiles(image, prompt_of_well, len(text))
    texts = text.astype(np.float64)
    return [OwnTexts(consensus[modality == m], texts[modality == m]) for m in np.unique(modality)]


def mrr_within_modality(
    image: Matrix, prompt_of_well: NDArray[np.int64], text: Matrix, modality: NDArray[np.str_]
) -> float:
    """Perturbation-level image-to-text MRR, candidates of the query's own modality."""
    own = texts_by_modality(image, prompt_of_well, text, modality)
    of_truth = [
        reciprocal_ranks(block, rows) for part in own for rows, block in part.similarities()
    ]
    return float(np.mean(np.concatenate(of_truth)))


def reciprocal_ranks(similarity: Matrix, candidates: NDArray[np.int64]) -> NDArray[np.float64]:
    """1 / rank of one candidate ``(Q,)`` of each query, ties as their expectation: ``(Q,)``.

    Similarities ``(Q, N)`` are compared as they are: round them before.
    """
    own = similarity[np.arange(len(candidates)), candidates][:, None]
    better, tied = (similarity > own).sum(axis=1), (similarity == own).sum(axis=1)
    harmonic = harmonic_numbers(similarity.shape[1])
    return np.asarray((harmonic[better + tied] - harmonic[better]) / tied)


def _reciprocal_ranks_of_many(
    similarity: NDArray[np.float64], candidates: NDArray[np.int32]
) -> NDArray[np.float64]:
    """The same of several candidates ``(K, Q)`` of each query: ``(K, Q)``."""
    harmonic = harmonic_numbers(similarity.shape[1])
    found = np.empty(candidates.shape)
    for query, row in enumerate(-similarity):
        wanted = row[candidates[:, query]]
        row.sort()
        better, up_to = np.searchsorted(row, wanted), np.searchsorted(row, wanted, "right")
        found[:, query] = (harmonic[up_to] - harmonic[better]) / (up_to - better)
    return found


def permutation_test(own: list[OwnTexts], *, null_size: int, seed: int) -> dict[str, float]:
    """The MRR within modalities against texts permuted within their modality.

    The p-value counts permutations that do at least as well, itself among them.
    """
    n_queries = sum(len(part.texts) for part in own)
    rng = np.random.default_rng(seed)
    value, null = 0.0, np.zeros(null_size)
    for part in own:
        everyone = np.arange(len(part.texts), dtype=np.int32)
        at_a_time = max(1, min(10_000, _PERMUTED_AT_A_TIME // len(everyone)))
        for start in range(0, null_size, at_a_time):
            stop = min(start + at_a_time, null_size)
            order = rng.permuted(np.tile(everyone, (stop - start, 1)), axis=1)
            for rows, block in part.similarities():
                drawn = _reciprocal_ranks_of_many(block, order[:, rows])
                null[start:stop] += drawn.sum(axis=1) / n_queries
                value += reciprocal_ranks(block, rows).sum() / n_queries if start == 0 else 0.0
    return {
        "value": value,
        "null_mean": float(null.mean()),
        "null_p95": float(np.quantile(null, 0.95)),
        "p_value": float((np.sum(null >= value - 1e-12) + 1) / (null_size + 1)),
        "null_size": null_size,
    }


def _scopes(queries: Side, candidates: Side) -> Iterator[Scope]:
    """Overall; within the query's modality; and each modality alone."""
    measured = measured_queries(queries, candidates)
    sizes = {str(m): int((candidates.modality == m).sum()) for m in Modality}
    own = np.array([sizes[m] for m in queries.modality])
    n_groups = max(int(queries.group.max()), int(candidates.group.max())) + 1
    n_true = np.bincount(candidates.group, minlength=n_groups)[queries.group]
    everything = np.full(len(own), len(candidates.group))
    yield Scope("overall", measured.among_all, queries.group, n_true, everything, own)
    within = measured.within_modality
    of_modality = [np.flatnonzero(queries.modality == m) for m in Modality]
    together = np.concatenate(of_modality)
    parts = [("within_modality", together)]
    parts += [(str(m), rows) for m, rows in zip(Modality, of_modality, strict=True) if len(rows)]
    for name, rows in parts:
        yield Scope(name, within.loc[rows], queries.group[rows], n_true[rows], own[rows], own[rows])


def _measure(scope: Scope, n_groups: int, bootstrap: Bootstrap) -> Iterator[dict[str, object]]:
    """One row per metric: value, interval, chance, what recognising the modality reaches."""
    measured, n_true, n_candidates = scope.measured, scope.n_true, scope.n_candidates
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


def _draws(n_groups: int, group: NDArray[np.int64], bootstrap: Bootstrap) -> NDArray[np.uint16]:
    """How often each perturbation is in each draw, ``(draws, n_groups)``."""
    present = np.unique(group)
    weights = np.zeros((bootstrap.draws, n_groups), dtype=np.uint16)
    weights[:, present] = resampling_counts(len(present), bootstrap)
    return weights


def _weighted_means(
    values: NDArray[np.float64], group: NDArray[np.int64], weights: NDArray[np.uint16]
) -> NDArray[np.float64]:
    n_groups = weights.shape[1]
    sums = np.bincount(group, values, minlength=n_groups)
    sizes = np.bincount(group, minlength=n_groups)
    drawn = drawn_sums(weights, np.stack([sums, sizes], axis=1))
    return np.asarray(drawn[:, 0] / drawn[:, 1])


def _weighted_medians(
    values: NDArray[np.float64], group: NDArray[np.int64], weights: NDArray[np.uint16]
) -> NDArray[np.float64]:
    """The lower median of each draw, a few draws at a time."""
    order = np.argsort(values, kind="stable")
    medians = []
    for some in np.array_split(weights, max(len(weights) * len(values) // 4_000_000, 1)):
        cumulated = np.cumsum(some[:, group[order]], axis=1, dtype=np.int64)
        place = (cumulated < cumulated[:, [-1]] / 2).sum(axis=1)
        medians.append(values[order][place])
    return np.concatenate(medians)
