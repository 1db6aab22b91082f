"""The CPJUMP1 benchmark through copairs: replicability, matching, gene-compound pairs.

Chandrasekaran et al. 2024, `benchmark/1.0.calculate-map-cp.ipynb`, with two changes that keep it
honest: negative controls that a normalisation was fitted on are not scored against, and the same
score is given to negative controls at one position, which have nothing but their position in
common. A pure function of metadata, matrix and seed, so that any profiles go through one path.
"""

import logging
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from math import comb

import numpy as np
import pandas as pd
from copairs.compute import get_null_dists
from copairs.map import average_precision, mean_average_precision, multilabel
from numpy.typing import NDArray
from scipy.stats import false_discovery_control

from morphoclip.metrics.chance import harmonic_numbers
from morphoclip.metrics.embedding_quality import is_collapsed
from morphoclip.metrics.matching import consensus_table, scored_controls, treated_wells
from morphoclip.metrics.retrieval import Matrix
from morphoclip.perturbations.tables import genes_of
from morphoclip.schemas import (
    BENCHMARK_METRICS,
    BROAD_SAMPLE,
    CELL_TYPE,
    CONDITION,
    MODALITY,
    PLATE,
    SUBSET,
    WELL,
    Modality,
    Subset,
)

LEVEL = 0.05
"""False discovery rate below which a group counts as retrieved."""
_COARSEST_NULL = 0.005
_COLLAPSED = "collapsed: ties would count as matches"
_LABEL, _IS_CONTROL = "Metadata_matching_target", "Metadata_is_control"

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class NullConfig:
    """Draws and seed of every null distribution."""

    size: int
    seed: int


def benchmark(
    metadata: pd.DataFrame, matrix: Matrix, null: NullConfig, *, profiles: str
) -> pd.DataFrame:
    """All tasks on all tracks that the plates allow.

    Args:
        metadata: ``Metadata_*`` of wells, with role, condition, reference and subset.
        matrix: Their profiles, ``(B, E)``.
        null: Draws and seed.
        profiles: What these profiles are called in the table.
    """
    metadata = metadata.reset_index(drop=True).assign(
        **{CONDITION: metadata[CONDITION].fillna(metadata[MODALITY]).to_numpy()}
    )
    logging.getLogger("copairs").setLevel(logging.ERROR)
    rows: list[dict[str, object]] = []
    replicable: dict[str, set[str]] = {}
    for track, members in _tracks(metadata):
        if is_collapsed(matrix[members]):
            rows.append(_flagged("replicability", track, _COLLAPSED))
            continue
        scored = _replicability(metadata.loc[members], matrix[members], null)
        if scored is None:
            continue
        rows += _strata_rows(scored, "replicability", track)
        groups = scored.groups
        replicable[track] = set(groups.loc[groups["q"] < LEVEL, BROAD_SAMPLE])
        position = _same_position(metadata.loc[members], matrix[members], null)
        if position is not None:
            rows += _strata_rows(position, "same_position_controls", track)
    consensus = consensus_table(metadata, matrix)
    for track, own in consensus.groupby(CONDITION):
        active = own[own[BROAD_SAMPLE].isin(replicable.get(str(track), set()))]
        matched = _matching(active, consensus.attrs["columns"], null)
        if matched is not None:
            rows += _strata_rows(matched, "matching", str(track))
    for track, pair in _gene_compound_pairs(consensus, replicable):
        matched = _gene_compound(pair, consensus.attrs["columns"], null)
        if matched is not None:
            rows += _strata_rows(matched, "gene_compound", track)
    table = pd.DataFrame(rows, columns=[c for c in BENCHMARK_METRICS.columns if c != "profiles"])
    return table.assign(profiles=profiles)[list(BENCHMARK_METRICS.columns)]


def _flagged(task: str, track: str, flag: str) -> dict[str, object]:
    """A track that cannot be scored."""
    return {"task": task, "track": track, "stratum": "all", "n_groups": 0, "flag": flag}


@dataclass(frozen=True)
class Scored:
    """Average precisions of queries, and of the groups they make up.

    ``groups`` holds ``mean_average_precision``, ``q`` (modern), ``q_legacy`` and the subset (None
    where a group is of several); ``chance`` is the expected mean.
    """

    groups: pd.DataFrame
    chance: pd.Series
    coarsest: float


def expected_average_precision(n_positive: int, n_total: int) -> float:
    """AP of a random order: ``[H_N + (m - 1) / (N - 1) (N - H_N)] / N``."""
    if n_total < 2:
        return 1.0
    harmonic = float(harmonic_numbers(n_total)[-1])
    rest = (n_positive - 1) / (n_total - 1) * (n_total - harmonic)
    return (harmonic + rest) / n_total


def _replicability(metadata: pd.DataFrame, matrix: Matrix, null: NullConfig) -> Scored | None:
    """Wells of one ID against the scored controls of each well's own plate."""
    control = scored_controls(metadata)
    treated = treated_wells(metadata)
    counts = metadata.loc[treated, BROAD_SAMPLE].value_counts()
    replicated = treated & metadata[BROAD_SAMPLE].map(counts).gt(1)
    plates = set(metadata.loc[control, PLATE])
    used = (replicated & metadata[PLATE].isin(plates)) | control
    if not (replicated & used).any():
        return None
    table = metadata[used].assign(**{_IS_CONTROL: control[used].astype(int)})
    scores = _average_precisions(
        table[[PLATE, WELL, BROAD_SAMPLE, SUBSET, _IS_CONTROL]],
        matrix[used.to_numpy()],
        pos_sameby=[BROAD_SAMPLE],
        pos_diffby=[],
        neg_sameby=[PLATE],
        neg_diffby=[_IS_CONTROL],
    )
    return _scored(scores[scores[_IS_CONTROL] == 0], BROAD_SAMPLE, null)


def _same_position(metadata: pd.DataFrame, matrix: Matrix, null: NullConfig) -> Scored | None:
    """Scored controls at one position of several plates, against other controls of their plate."""
    control = scored_controls(metadata)
    on_plate = metadata.loc[control].groupby(PLATE)[WELL].transform("size")
    control &= (on_plate >= 2).reindex(metadata.index, fill_value=False)
    if not metadata.loc[control, WELL].duplicated().any():
        return None
    table = metadata.loc[control, [PLATE, WELL]].assign(**{SUBSET: None})
    scores = _average_precisions(
        table,
        matrix[control.to_numpy()],
        pos_sameby=[WELL],
        pos_diffby=[PLATE],
        neg_sameby=[PLATE],
        neg_diffby=[WELL],
    )
    return _scored(scores, WELL, null)


def _matching(consensus: pd.DataFrame, columns: list[str], null: NullConfig) -> Scored | None:
    """Replicable perturbations that share a target: compounds of one gene, guides of one gene."""
    if consensus.empty:
        return None
    is_compound = consensus[MODALITY].iloc[0] == Modality.COMPOUND
    table = consensus.assign(**{_LABEL: genes_of(consensus, listed=is_compound)})
    table = _with_partners(table[table[_LABEL].map(len) > 0])
    if table.empty or is_collapsed(table[columns].to_numpy()):
        return None
    keys = {"pos_sameby": [_LABEL], "pos_diffby": [], "neg_sameby": [], "neg_diffby": [_LABEL]}
    scores = _average_precisions(
        table[[BROAD_SAMPLE, SUBSET, _LABEL]],
        table[columns].to_numpy(),
        **keys,
        distance="abs_cosine" if is_compound else "cosine",
        labels=_LABEL,
    )
    return _scored(scores, _LABEL, null)


def _gene_compound(pair: pd.DataFrame, columns: list[str], null: NullConfig) -> Scored | None:
    """Replicable compounds with replicable perturbations of their target genes."""
    genetic = pair[MODALITY] != Modality.COMPOUND
    labels = genes_of(pair[~genetic], listed=True)
    genes = genes_of(pair[genetic], listed=False)
    perturbed = {gene for own in genes for gene in own}
    labels = labels.map(lambda own: [gene for gene in own if gene in perturbed])
    table = pair.assign(**{_LABEL: pd.concat([labels, genes])})
    known = {gene for own in labels for gene in own}
    table = table[table[_LABEL].map(lambda own: bool(known & set(own)))]
    table = _with_negatives(table, across=MODALITY)
    if table.empty or is_collapsed(table[columns].to_numpy()):
        return None
    scores = _average_precisions(
        table[[BROAD_SAMPLE, MODALITY, SUBSET, _LABEL]],
        table[columns].to_numpy(),
        pos_sameby=[_LABEL],
        pos_diffby=[MODALITY],
        neg_sameby=[],
        neg_diffby=[_LABEL, MODALITY],
        distance="abs_cosine",
        labels=_LABEL,
    )
    return _scored(scores, _LABEL, null)


def _average_precisions(
    table: pd.DataFrame,
    matrix: Matrix,
    *,
    distance: str = "cosine",
    labels: str | None = None,
    **keys: list[str],
) -> pd.DataFrame:
    arguments = {**keys, "distance": distance, "progress_bar": False}
    meta = table.reset_index(drop=True)
    features = np.ascontiguousarray(matrix, dtype=np.float32)
    if labels is None:
        scores = average_precision(meta, features, **arguments)
    else:
        scores = multilabel.average_precision(meta, features, multilabel_col=labels, **arguments)
    return scores.dropna(subset=["average_precision"])


def _scored(scores: pd.DataFrame, group: str, null: NullConfig) -> Scored | None:
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
    subsets = scores.groupby(group)[SUBSET].agg(lambda s: s.iloc[0] if len(set(s)) == 1 else None)
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
    """The paper's rule (copairs 880f22a): a p-value a well, the mean of -log10 p a group, then BH.

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


def _strata_rows(scored: Scored, task: str, track: str) -> list[dict[str, object]]:
    """All groups, and those of each subset; q-values are those of the whole track."""
    rows = []
    for stratum in ("all", *(str(s) for s in Subset if s is not Subset.EXCLUDED)):
        chosen = scored.groups
        if stratum != "all":
            chosen = chosen[chosen[SUBSET] == stratum]
        if chosen.empty:
            continue
        coarse = scored.coarsest > _COARSEST_NULL
        rows.append(
            {
                "task": task,
                "track": track,
                "stratum": stratum,
                "mean_average_precision": float(chosen["mean_average_precision"].mean()),
                "chance": float(scored.chance.loc[chosen.index].mean()),
                "fraction_retrieved": float((chosen["q"] < LEVEL).mean()),
                "fraction_retrieved_legacy": float((chosen["q_legacy"] < LEVEL).mean()),
                "n_groups": len(chosen),
                "flag": "null too coarse: few pairs" if coarse else None,
            }
        )
    return rows


def _tracks(metadata: pd.DataFrame) -> Iterator[tuple[str, NDArray[np.int64]]]:
    condition = metadata[CONDITION].to_numpy(dtype=str)
    for name in np.unique(condition):
        yield str(name), np.flatnonzero(condition == name)


def _gene_compound_pairs(
    consensus: pd.DataFrame, replicable: dict[str, set[str]]
) -> Iterator[tuple[str, pd.DataFrame]]:
    """Every compound condition with every genetic condition of the same cells."""
    active = pd.concat(
        [
            own[own[BROAD_SAMPLE].isin(replicable.get(str(name), set()))]
            for name, own in consensus.groupby(CONDITION)
        ]
    )
    for _, cell in active.groupby(active[CELL_TYPE].fillna("")):
        compounds = cell[cell[MODALITY] == Modality.COMPOUND]
        genetic = cell[cell[MODALITY] != Modality.COMPOUND]
        for one, left in compounds.groupby(CONDITION):
            for other, right in genetic.groupby(CONDITION):
                pair = pd.concat([left, right], ignore_index=True)
                pair[MODALITY] = np.where(pair[MODALITY] == Modality.COMPOUND, "compound", "gene")
                yield f"{one} and {other}", pair


def _with_partners(table: pd.DataFrame) -> pd.DataFrame:
    """Rows that share a label with another row; with one target alone, nothing is to be told."""
    while True:
        counts = table[_LABEL].explode().value_counts()
        shared = set(counts.index[counts > 1])
        labels = table[_LABEL].map(lambda own, shared=shared: [x for x in own if x in shared])
        kept = _with_negatives(table.assign(**{_LABEL: labels})[labels.map(len) > 0])
        if len(kept) == len(table):
            return kept
        table = kept


def _with_negatives(table: pd.DataFrame, across: str | None = None) -> pd.DataFrame:
    """Rows that have a row without any of their labels (of another ``across``), until all have one.

    copairs gives a row without negatives those of its neighbour.
    """
    while len(table):
        labels = [set(own) for own in table[_LABEL]]
        sides = table[across].to_numpy() if across else np.arange(len(table))
        has_one = [
            any(not own & other and sides[i] != sides[j] for j, other in enumerate(labels))
            for i, own in enumerate(labels)
        ]
        if all(has_one):
            return table
        table = table[has_one]
    return table
