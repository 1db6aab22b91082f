"""The CPJUMP1 benchmark, as copairs computes it: replicability, matching, gene-compound pairs.

Chandrasekaran et al. 2024, `benchmark/1.0.calculate-map-cp.ipynb`, with two changes that keep it
honest: negative controls that a normalisation was fitted on are not scored against, and the same
score is given to negative controls at one position, which have nothing but their position in
common. A pure function of metadata, matrix and seed, so that any profiles go through one path.
"""

import logging
import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morphoclip.columns import (
    BROAD_SAMPLE,
    CONDITION,
    PLATE,
    SUBSET,
    WELL,
    Subset,
)
from morphoclip.metrics.average_precision import (
    LEVEL,
    Scored,
    score_groups,
)
from morphoclip.metrics.bootstrap import Bootstrap, drawn_sums, interval_95, resampling_counts
from morphoclip.metrics.chance import NullConfig
from morphoclip.metrics.conditions import (
    rows_by_condition,
    scored_controls,
    treated_wells,
)
from morphoclip.metrics.consensus import Consensus, consensus_profiles_by_condition
from morphoclip.metrics.matrix import Matrix
from morphoclip.metrics.ranked_pairs import replicate_precisions
from morphoclip.metrics.target_matching import (
    gene_compound_tracks,
    match_genes_and_compounds,
    match_targets,
)
from morphoclip.metrics.ties import TIED, Pairs, Tied, ties_decide
from morphoclip.schemas.evaluation import BENCHMARK_METRICS

_COARSEST_NULL = 0.005
_COARSE = "null too coarse: few pairs"
_TIED = "ties: matches and others are equally similar, which copairs counts as matches"
_POSITION = "position: controls at one position are as similar as wells of one treatment"
_DRAWS = 2000
_TRACKS_AT_ONCE = min(os.cpu_count() or 1, 4)
"""Each holds similarities of its own."""


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
    metadata = metadata.reset_index(drop=True)
    logging.getLogger("copairs").setLevel(logging.ERROR)
    rows: list[dict[str, object]] = []
    active: dict[str, dict[str, set[str]]] = {"q": {}, "q_legacy": {}}
    tracks = list(rows_by_condition(metadata))
    with ThreadPoolExecutor(_TRACKS_AT_ONCE) as threads:
        of_tracks = threads.map(
            lambda members: _replicates(metadata.loc[members], matrix[members], null),
            [members for _, members in tracks],
        )
        for (track, _), replicates in zip(tracks, of_tracks, strict=True):
            if replicates is None:
                continue
            scored, position = replicates
            note = _note_on_position(scored, position, null)
            rows += _strata_rows(scored, "replicability", track, position, note)
            rows += _strata_rows(position, "same_position_controls", track)
            if isinstance(scored, Scored):
                for rule, of_track in active.items():
                    groups = scored.groups
                    of_track[track] = set(groups.loc[groups[rule] < LEVEL, BROAD_SAMPLE])
    consensus = consensus_profiles_by_condition(metadata, matrix)
    for task, track, scored in _both_rules(consensus, active, null):
        rows += _strata_rows(scored, task, track)
    table = pd.DataFrame(rows, columns=[c for c in BENCHMARK_METRICS.columns if c != "profiles"])
    return table.assign(profiles=profiles)[list(BENCHMARK_METRICS.columns)]


def _replicates(
    table: pd.DataFrame, matrix: Matrix, null: NullConfig
) -> tuple[Scored | Tied | None, Scored | Tied | None] | None:
    """Replicability and the same of controls' positions; None without replicates."""
    if not _with_replicates(table).any():
        return None
    return _replicability(table, matrix, null), _same_position(table, matrix, null)


def _both_rules(
    consensus: Consensus, active: dict[str, dict[str, set[str]]], null: NullConfig
) -> Iterator[tuple[str, str, Scored | Tied | None]]:
    """Scores by target of the treatments that replicate by the present rule.

    The fraction retrieved by the paper's rule is of the treatments that replicate by that rule.
    """
    present = list(_by_target(consensus, active["q"], null))
    of_rule = present
    if active["q_legacy"] != active["q"]:
        of_rule = list(_by_target(consensus, active["q_legacy"], null))
    legacy = {(task, track): scored for task, track, scored in of_rule}
    for task, track, scored in present:
        of_paper = legacy.get((task, track))
        if isinstance(scored, Scored) and isinstance(of_paper, Scored):
            scored = replace(scored, legacy=of_paper.groups)
        yield task, track, scored


def _by_target(
    consensus: Consensus, replicable: dict[str, set[str]], null: NullConfig
) -> Iterator[tuple[str, str, Scored | Tied | None]]:
    """Matching and gene-compound pairs among treatments that replicate in their condition."""
    active = _replicable_rows(consensus.table, replicable)
    tracks = [("matching", str(track), own) for track, own in active.groupby(CONDITION)]
    tracks += [("gene_compound", track, own) for track, own in gene_compound_tracks(active)]

    def score(of_track: tuple[str, str, pd.DataFrame]) -> Scored | Tied | None:
        task, _, own = of_track
        if task == "matching":
            return match_targets(own, consensus.matrix, null)
        return match_genes_and_compounds(own, consensus.matrix, null)

    with ThreadPoolExecutor(_TRACKS_AT_ONCE) as threads:
        scores = threads.map(score, tracks)
        for (task, track, _), scored in zip(tracks, scores, strict=True):
            yield task, track, scored


def _note_on_position(
    scored: Scored | Tied | None, position: Scored | Tied | None, null: NullConfig
) -> str | None:
    """Says so where positions replicate, and treatments do not so significantly better.

    By 95 % intervals, over draws of groups, of mean average precision above chance, relative to
    what is left above chance: ``(mAP - chance) / (1 - chance)``.
    """
    if not (isinstance(scored, Scored) and isinstance(position, Scored)):
        return None
    bootstrap = Bootstrap(_DRAWS, null.seed)
    drawn = []
    for one in (scored, position):
        above = (one.groups["mean_average_precision"] - one.chance) / (1 - one.chance)
        counts = resampling_counts(len(above), bootstrap)
        drawn.append(drawn_sums(counts, above.to_numpy()) / len(above))
    lead, _ = interval_95(drawn[0] - drawn[1])
    of_position, _ = interval_95(drawn[1])
    return _POSITION if of_position > 0 and lead <= 0 else None


def _with_replicates(metadata: pd.DataFrame) -> pd.Series:
    """Treated wells of an ID with several, on plates with scored controls."""
    treated = treated_wells(metadata)
    counts = metadata.loc[treated, BROAD_SAMPLE].value_counts()
    plates = set(metadata.loc[scored_controls(metadata), PLATE])
    return treated & metadata[BROAD_SAMPLE].map(counts).gt(1) & metadata[PLATE].isin(plates)


def _replicability(
    metadata: pd.DataFrame, matrix: Matrix, null: NullConfig
) -> Scored | Tied | None:
    """Wells of one ID against the scored controls of each well's own plate."""
    control = scored_controls(metadata)
    used = _with_replicates(metadata) | control
    table = metadata[used]
    profiles, is_control = matrix[used.to_numpy()], control[used].to_numpy()

    def pairs_of(rows: NDArray[np.int64]) -> Pairs:
        sample, plate = _same(table[BROAD_SAMPLE], rows), _same(table[PLATE], rows)
        sample[np.arange(len(rows)), rows] = False
        return Pairs(sample, plate & is_control)

    if ties_decide(profiles, np.flatnonzero(~is_control), pairs_of):
        return TIED
    found = replicate_precisions(
        profiles,
        pd.factorize(table[BROAD_SAMPLE])[0],
        pd.factorize(table[PLATE])[0],
        queries=~is_control,
        others=is_control,
    )
    return score_groups(found.beside(table[[BROAD_SAMPLE, SUBSET]]), BROAD_SAMPLE, null)


def _same_position(
    metadata: pd.DataFrame, matrix: Matrix, null: NullConfig
) -> Scored | Tied | None:
    """Scored controls at one position of several plates, against other controls of their plate."""
    control = scored_controls(metadata)
    on_plate = metadata.loc[control].groupby(PLATE)[WELL].transform("size")
    control &= (on_plate >= 2).reindex(metadata.index, fill_value=False)
    if not metadata.loc[control, WELL].duplicated().any():
        return None
    table = metadata.loc[control, [PLATE, WELL]].assign(**{SUBSET: None})
    profiles = matrix[control.to_numpy()]

    def pairs_of(rows: NDArray[np.int64]) -> Pairs:
        well, plate = _same(table[WELL], rows), _same(table[PLATE], rows)
        return Pairs(well & ~plate, plate & ~well)

    if ties_decide(profiles, np.arange(len(table)), pairs_of):
        return TIED
    everything = np.ones(len(table), dtype=bool)
    found = replicate_precisions(
        profiles,
        pd.factorize(table[WELL])[0],
        pd.factorize(table[PLATE])[0],
        queries=everything,
        others=everything,
    )
    return score_groups(found.beside(table), WELL, null)


def _same(column: pd.Series, rows: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Which of N rows have the value of each of these rows ``(Q,)``: ``(Q, N)``."""
    codes, _ = pd.factorize(column)
    return np.asarray(codes[rows, None] == codes[None, :])


def _strata_rows(
    scored: Scored | Tied | None,
    task: str,
    track: str,
    position: Scored | Tied | None = None,
    note: str | None = None,
) -> list[dict[str, object]]:
    """All groups, and those of each subset; q-values are those of the whole track."""
    if scored is None:
        return []
    if isinstance(scored, Tied):
        return [{"task": task, "track": track, "stratum": "all", "n_groups": 0, "flag": _TIED}]
    rows = []
    coarse = _COARSE if scored.coarsest > _COARSEST_NULL else None
    control = position.groups["mean_average_precision"] if isinstance(position, Scored) else None
    for stratum in ("all", *(str(s) for s in Subset if s is not Subset.EXCLUDED)):
        chosen, of_paper = (
            groups if stratum == "all" else groups[groups[SUBSET] == stratum]
            for groups in (scored.groups, scored.by_paper)
        )
        if chosen.empty:
            continue
        rows.append(
            {
                "task": task,
                "track": track,
                "stratum": stratum,
                "mean_average_precision": float(chosen["mean_average_precision"].mean()),
                "chance": float(scored.chance.loc[chosen.index].mean()),
                "same_position": float("nan") if control is None else float(control.mean()),
                "fraction_retrieved": float((chosen["q"] < LEVEL).mean()),
                "fraction_retrieved_legacy": float((of_paper["q_legacy"] < LEVEL).mean()),
                "n_groups": len(chosen),
                "flag": "; ".join(flag for flag in (note, coarse) if flag) or None,
            }
        )
    return rows


def _replicable_rows(table: pd.DataFrame, replicable: dict[str, set[str]]) -> pd.DataFrame:
    """Treatments that replicate in their condition."""
    keep = [
        sample in replicable.get(condition, set())
        for condition, sample in zip(table[CONDITION], table[BROAD_SAMPLE], strict=True)
    ]
    return table[np.array(keep, dtype=bool)]
