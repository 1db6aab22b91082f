"""The CPJUMP1 benchmark through copairs: replicability, matching, gene-compound pairs.

Chandrasekaran et al. 2024, `benchmark/1.0.calculate-map-cp.ipynb`, with two changes that keep it
honest: negative controls that a normalisation was fitted on are not scored against, and the same
score is given to negative controls at one position, which have nothing but their position in
common. A pure function of metadata, matrix and seed, so that any profiles go through one path.
"""

import logging
from collections.abc import Iterator

import numpy as np
import pandas as pd

from morphoclip.columns import (
    BROAD_SAMPLE,
    CONDITION,
    MODALITY,
    PLATE,
    SUBSET,
    WELL,
    Modality,
    Subset,
)
from morphoclip.metrics.average_precision import (
    LEVEL,
    Scored,
    average_precisions,
    score_groups,
)
from morphoclip.metrics.chance import NullConfig
from morphoclip.metrics.conditions import (
    compound_gene_pairs,
    rows_by_condition,
    scored_controls,
    treated_wells,
)
from morphoclip.metrics.embedding_quality import is_collapsed
from morphoclip.metrics.matching import consensus_profiles_by_condition
from morphoclip.metrics.matrix import Matrix
from morphoclip.perturbations.doses import without_dose
from morphoclip.perturbations.genes import genes_of
from morphoclip.schemas.evaluation import BENCHMARK_METRICS

_COARSEST_NULL = 0.005
_COLLAPSED = "collapsed: ties would count as matches"
_UNDOSED = "Metadata_without_dose"
_LABEL, _IS_CONTROL = "Metadata_matching_target", "Metadata_is_control"


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
    replicable: dict[str, set[str]] = {}
    for track, members in rows_by_condition(metadata):
        if not _with_replicates(metadata.loc[members]).any():
            continue
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
    consensus = consensus_profiles_by_condition(metadata, matrix)
    active = _replicable_rows(consensus.table, replicable)
    for track, treatments in active.groupby(CONDITION):
        matched = _matching(treatments, consensus.matrix, null)
        if matched is not None:
            rows += _strata_rows(matched, "matching", str(track))
    for track, pair in _gene_compound_tracks(active):
        matched = _gene_compound(pair, consensus.matrix, null)
        if matched is not None:
            rows += _strata_rows(matched, "gene_compound", track)
    table = pd.DataFrame(rows, columns=[c for c in BENCHMARK_METRICS.columns if c != "profiles"])
    return table.assign(profiles=profiles)[list(BENCHMARK_METRICS.columns)]


def _flagged(task: str, track: str, flag: str) -> dict[str, object]:
    """A track that cannot be scored."""
    return {"task": task, "track": track, "stratum": "all", "n_groups": 0, "flag": flag}


def _with_replicates(metadata: pd.DataFrame) -> pd.Series:
    """Treated wells of an ID with several, on plates with scored controls."""
    treated = treated_wells(metadata)
    counts = metadata.loc[treated, BROAD_SAMPLE].value_counts()
    plates = set(metadata.loc[scored_controls(metadata), PLATE])
    return treated & metadata[BROAD_SAMPLE].map(counts).gt(1) & metadata[PLATE].isin(plates)


def _replicability(metadata: pd.DataFrame, matrix: Matrix, null: NullConfig) -> Scored | None:
    """Wells of one ID against the scored controls of each well's own plate."""
    control = scored_controls(metadata)
    used = _with_replicates(metadata) | control
    table = metadata[used].assign(**{_IS_CONTROL: control[used].astype(int)})
    scores = average_precisions(
        table[[PLATE, WELL, BROAD_SAMPLE, SUBSET, _IS_CONTROL]],
        matrix[used.to_numpy()],
        pos_sameby=[BROAD_SAMPLE],
        pos_diffby=[],
        neg_sameby=[PLATE],
        neg_diffby=[_IS_CONTROL],
    )
    return score_groups(scores[scores[_IS_CONTROL] == 0], BROAD_SAMPLE, null)


def _same_position(metadata: pd.DataFrame, matrix: Matrix, null: NullConfig) -> Scored | None:
    """Scored controls at one position of several plates, against other controls of their plate."""
    control = scored_controls(metadata)
    on_plate = metadata.loc[control].groupby(PLATE)[WELL].transform("size")
    control &= (on_plate >= 2).reindex(metadata.index, fill_value=False)
    if not metadata.loc[control, WELL].duplicated().any():
        return None
    table = metadata.loc[control, [PLATE, WELL]].assign(**{SUBSET: None})
    scores = average_precisions(
        table,
        matrix[control.to_numpy()],
        pos_sameby=[WELL],
        pos_diffby=[PLATE],
        neg_sameby=[PLATE],
        neg_diffby=[WELL],
    )
    return score_groups(scores, WELL, null)


def _matching(consensus: pd.DataFrame, matrix: Matrix, null: NullConfig) -> Scored | None:
    """Replicable perturbations that share a target: compounds of one gene, guides of one gene.

    Two doses of a compound are neither a pair nor not. The index of ``consensus`` names rows of
    ``matrix``; so it does in `_gene_compound`.
    """
    is_compound = consensus[MODALITY].iloc[0] == Modality.COMPOUND
    undosed = without_dose(consensus[BROAD_SAMPLE])
    has_doses = undosed.duplicated().any()
    table = consensus.assign(**{_LABEL: genes_of(consensus, listed=is_compound), _UNDOSED: undosed})
    table = _with_partners(table[table[_LABEL].map(len) > 0])
    if table.empty or is_collapsed(matrix[table.index]):
        return None
    scores = average_precisions(
        table[[BROAD_SAMPLE, SUBSET, _LABEL, *([_UNDOSED] if has_doses else [])]],
        matrix[table.index],
        pos_sameby=[_LABEL],
        pos_diffby=[_UNDOSED] if has_doses else [],
        neg_sameby=[],
        neg_diffby=[_LABEL],
        distance="abs_cosine" if is_compound else "cosine",
        labels=_LABEL,
    )
    return score_groups(scores, _LABEL, null)


def _gene_compound(pair: pd.DataFrame, matrix: Matrix, null: NullConfig) -> Scored | None:
    """Replicable compounds with replicable perturbations of their target genes."""
    genetic = pair[MODALITY] != Modality.COMPOUND
    labels = genes_of(pair[~genetic], listed=True)
    genes = genes_of(pair[genetic], listed=False)
    perturbed = {gene for names in genes for gene in names}
    labels = labels.map(lambda names: [gene for gene in names if gene in perturbed])
    table = pair.assign(**{_LABEL: pd.concat([labels, genes])})
    targeted = {gene for names in labels for gene in names}
    table = table[table[_LABEL].map(lambda names: bool(targeted & set(names)))]
    table = _with_negatives(table, across=MODALITY)
    if table.empty or is_collapsed(matrix[table.index]):
        return None
    scores = average_precisions(
        table[[BROAD_SAMPLE, MODALITY, SUBSET, _LABEL]],
        matrix[table.index],
        pos_sameby=[_LABEL],
        pos_diffby=[MODALITY],
        neg_sameby=[],
        neg_diffby=[_LABEL, MODALITY],
        distance="abs_cosine",
        labels=_LABEL,
    )
    return score_groups(scores, _LABEL, null)


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


def _replicable_rows(table: pd.DataFrame, replicable: dict[str, set[str]]) -> pd.DataFrame:
    """Treatments that replicate in their condition."""
    keep = [
        sample in replicable.get(condition, set())
        for condition, sample in zip(table[CONDITION], table[BROAD_SAMPLE], strict=True)
    ]
    return table[np.array(keep, dtype=bool)]


def _gene_compound_tracks(active: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    for pair in compound_gene_pairs(active):
        both = pd.concat([pair.compounds, pair.genetic])
        is_compound = both[MODALITY] == Modality.COMPOUND
        both[MODALITY] = np.where(is_compound, "compound", "gene")
        yield f"{pair.compound_condition} and {pair.genetic_condition}", both


def _with_partners(table: pd.DataFrame) -> pd.DataFrame:
    """Rows that share a label with another row; with one target alone, there is nothing to rank.

    Another dose of the same compound is no other row.
    """
    while True:
        counts = table.explode(_LABEL).groupby(_LABEL)[_UNDOSED].nunique()
        shared = set(counts.index[counts > 1])
        labels = table[_LABEL].map(lambda names, shared=shared: [x for x in names if x in shared])
        kept = _with_negatives(table.assign(**{_LABEL: labels})[labels.map(len) > 0])
        if len(kept) == len(table):
            return kept
        table = kept


def _with_negatives(table: pd.DataFrame, across: str | None = None) -> pd.DataFrame:
    """Rows that have a row without any of their labels (of another ``across``), until all have one.

    copairs gives a row without negatives those of its neighbour.
    """
    while len(table):
        labels = [set(names) for names in table[_LABEL]]
        sides = table[across].to_numpy() if across else np.arange(len(table))
        has_one = [
            any(not one & other and sides[i] != sides[j] for j, other in enumerate(labels))
            for i, one in enumerate(labels)
        ]
        if all(has_one):
            return table
        table = table[has_one]
    return table
