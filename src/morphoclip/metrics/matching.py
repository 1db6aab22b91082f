"""Profiles against profiles: how far from controls, which perturbation, which gene.

All functions take ``Metadata_*`` columns and a matrix ``(B, E)`` whose rows belong to them, so that
any profiles go through them. Negative controls that a normalisation was fitted on
(``Metadata_reference``) are never scored against.
"""

import logging
from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from scipy.stats import rankdata

from morphoclip.columns import (
    BROAD_SAMPLE,
    GENE,
    MODALITY,
    PLATE,
    SUBSET,
    WELL,
    Subset,
)
from morphoclip.errors import example_of
from morphoclip.metrics.chance import chance_metrics
from morphoclip.metrics.conditions import (
    compound_gene_pairs,
    rows_by_condition,
    scored_controls,
    treated_wells,
)
from morphoclip.metrics.consensus import consensus_profiles_by_condition
from morphoclip.metrics.matrix import Matrix, unit_rows
from morphoclip.metrics.query_metrics import SIMILARITIES_AT_A_TIME, Block, query_metrics
from morphoclip.metrics.ranking import DECIMALS
from morphoclip.perturbations.genes import genes_of
from morphoclip.schemas.evaluation import MATCHING_METRICS

FAR = -1.645
"""Below this a well is further from its plate's controls than 95 % of them (one-sided, normal)."""
_FEWEST_CONTROLS = 3
_LEAST_COMMON_DIRECTION = 1.5
"""Squared length of the sum of n unit vectors over n: 1 where they point anywhere, n if alike."""

CONTROL_POSITIONS = "identification_of_control_positions"

logger = logging.getLogger(__name__)


def similarity_to_controls(metadata: pd.DataFrame, matrix: Matrix) -> pd.Series:
    """Normalised similarity to controls (NSC) of each well ``(B,)``; lower is further away.

    Per plate, the cosine to the controls' mean, as a z-score against those of the controls: of each
    of them to the mean of the others, so that no well is compared with itself. NaN on plates with
    fewer than three controls, whose controls are all alike, or have no direction in common: after
    centring on these very controls, the mean of the others points away from each.
    """
    scores = pd.Series(np.nan, index=metadata.index)
    unit = unit_rows(matrix.astype(np.float64))
    is_control = scored_controls(metadata).to_numpy()
    centred: list[str] = []
    for rows in _by(metadata, PLATE):
        controls = rows[is_control[rows]]
        if len(controls) < _FEWEST_CONTROLS:
            continue
        total = unit[controls].sum(axis=0)
        if total @ total / len(controls) < _LEAST_COMMON_DIRECTION:
            centred.append(str(metadata[PLATE].iloc[rows[0]]))
            continue
        left_out = _cosine(unit[controls], (total - unit[controls]) / (len(controls) - 1))
        cosines = _cosine(
            unit[rows], np.broadcast_to(total / len(controls), (len(rows), len(total)))
        )
        cosines[is_control[rows]] = left_out
        spread = left_out.std(ddof=1)
        if spread > 0:
            scores.iloc[rows] = (cosines - left_out.mean()) / spread
    if centred:
        logger.warning(
            "no similarity to controls on %d plate(s): their controls have no direction in common, "
            "as in profiles that are centred on them: %s",
            len(centred),
            example_of(centred),
        )
    return scores


def separation_from_controls(metadata: pd.DataFrame, matrix: Matrix) -> pd.DataFrame:
    """AUROC of treated against control wells by NSC, and the share of far perturbations."""
    nsc = similarity_to_controls(metadata, matrix)
    scored = metadata.assign(nsc=nsc)[nsc.notna()]
    rows = []
    for modality, rows_of_modality in scored.groupby(MODALITY):
        is_control = scored_controls(rows_of_modality)
        treated = rows_of_modality[treated_wells(rows_of_modality)]
        for stratum, part in _strata(treated):
            if part.empty or not is_control.any():
                continue
            auroc = _auroc(
                -part["nsc"].to_numpy(), -rows_of_modality.loc[is_control, "nsc"].to_numpy()
            )
            far = part.groupby(BROAD_SAMPLE)["nsc"].mean() < FAR
            common = {"task": "controls", "track": modality, "stratum": stratum, "n": len(far)}
            rows.append(common | {"metric": "auroc", "value": auroc, "chance": 0.5})
            rows.append(
                common | {"metric": "fraction_far", "value": float(far.mean()), "chance": np.nan}
            )
    return pd.DataFrame(rows, columns=list(MATCHING_METRICS.columns))


def identification(metadata: pd.DataFrame, matrix: Matrix) -> pd.DataFrame:
    """Which perturbation a well has, by the nearest mean of other plates of its condition.

    A plate's own wells are never in the gallery. Ties count as their expectation. Beside it, which
    position a control well has: nothing but the plate's layout can tell.
    """
    unit = unit_rows(matrix.astype(np.float64))
    tables = [
        *_identified("identification", treated_wells(metadata), BROAD_SAMPLE, metadata, unit),
        *_identified(CONTROL_POSITIONS, scored_controls(metadata), WELL, metadata, unit),
    ]
    return pd.DataFrame(tables, columns=list(MATCHING_METRICS.columns))


def _identified(
    task: str, queries: pd.Series, label: str, metadata: pd.DataFrame, unit: Matrix
) -> Iterator[dict[str, object]]:
    """Recall of the labels of these wells ``(B,)`` bool, by condition and stratum."""
    chosen = np.flatnonzero(queries)
    for condition, rows_of_condition in rows_by_condition(metadata.iloc[chosen]):
        members = chosen[rows_of_condition]
        table = metadata.iloc[members]
        parts = []
        for plate in sorted(table[PLATE].unique()):
            parts += _identified_on(plate, table, label, unit[members])
        if not parts:
            continue
        measured = pd.concat(parts)
        for stratum, part in _strata(measured):
            for k in (1, 5):
                yield {
                    "task": task,
                    "track": condition,
                    "stratum": stratum,
                    "metric": f"recall@{k}",
                    "value": float(part[f"recall@{k}"].mean()),
                    "chance": float(part[f"chance@{k}"].mean()),
                    "n": len(part),
                }


def match_profiles(metadata: pd.DataFrame, matrix: Matrix) -> pd.DataFrame:
    """All of this room's metrics, one table."""
    parts = [
        separation_from_controls(metadata, matrix),
        identification(metadata, matrix),
        gene_matching(metadata, matrix),
    ]
    filled = [part for part in parts if len(part)]
    return pd.concat(filled or parts, ignore_index=True)


def _identified_on(plate: str, table: pd.DataFrame, label: str, unit: Matrix) -> list[pd.DataFrame]:
    """Recall of one plate's wells in the gallery of the other plates' labels."""
    queries = (table[PLATE] == plate).to_numpy()
    others = table[~queries]
    if others.empty:
        return []
    codes, names = pd.factorize(others[label], sort=True)
    gallery = np.zeros((len(names), unit.shape[1]))
    np.add.at(gallery, codes, unit[~queries])
    relevant = table.loc[queries, label].to_numpy()[:, None] == names.to_numpy()[None, :]
    in_gallery = relevant.any(axis=1)
    if not in_gallery.any():
        return []
    similarity = np.round(unit[queries][in_gallery] @ unit_rows(gallery).T, DECIMALS)
    measured = query_metrics(Block(similarity, relevant[in_gallery]))[["recall@1", "recall@5"]]
    measured[SUBSET] = table.loc[queries, SUBSET].to_numpy()[in_gallery]
    for k in (1, 5):
        measured[f"chance@{k}"] = min(k / len(names), 1.0)
    return [measured]


def gene_matching(metadata: pd.DataFrame, matrix: Matrix) -> pd.DataFrame:
    """For each compound, the rank of perturbations of its target genes, knocked out or expressed.

    Consensus profiles (median over wells) of one cell type, each compound time against each genetic
    time. Cosine, and its absolute value: losing and inhibiting a gene may look alike or opposite.
    Compounds none of whose targets is a candidate are left out and not counted in ``n``.
    """
    rows = []
    consensus = consensus_profiles_by_condition(metadata, matrix)
    for pair in compound_gene_pairs(consensus.table):
        listed = genes_of(pair.compounds, listed=True)
        candidates = set(pair.genetic[GENE])
        asked = pair.compounds[[bool(candidates & set(genes)) for genes in listed]]
        if asked.empty:
            continue
        for kind in ("cosine", "abs_cosine"):
            rows += _matched(
                _measured_genes(asked, pair.genetic, consensus.matrix, kind),
                len(pair.genetic),
                f"{pair.compound_condition} to {pair.genetic_condition}, {kind}",
            )
    return pd.DataFrame(rows, columns=list(MATCHING_METRICS.columns))


def _measured_genes(
    compounds: pd.DataFrame, genetic: pd.DataFrame, matrix: Matrix, kind: str
) -> pd.DataFrame:
    """Metrics of each compound, its number of true candidates and its subset."""
    candidates = unit_rows(matrix[genetic.index]).T
    parts = []
    at_a_time = max(1, SIMILARITIES_AT_A_TIME // len(genetic))
    for start in range(0, len(compounds), at_a_time):
        some = compounds.iloc[start : start + at_a_time]
        similarity = unit_rows(matrix[some.index]) @ candidates
        similarity = np.abs(similarity) if kind == "abs_cosine" else similarity
        relevant = _shares_gene(some, genetic)
        measured = query_metrics(Block(np.round(similarity, DECIMALS), relevant))
        parts.append(
            measured.assign(n_true=relevant.sum(axis=1), **{SUBSET: some[SUBSET].to_numpy()})
        )
    return pd.concat(parts, ignore_index=True)


def _matched(measured: pd.DataFrame, n_candidates: int, track: str) -> list[dict[str, object]]:
    names = ["recall@1", "recall@5", "recall@10", "mrr"]
    chance = pd.DataFrame([chance_metrics(n_candidates, int(m)) for m in measured["n_true"]])
    rows: list[dict[str, object]] = []
    for stratum, part in _strata(measured):
        rows += [
            {
                "task": "gene_matching",
                "track": track,
                "stratum": stratum,
                "metric": name,
                "value": float(part[name].mean()),
                "chance": float(chance.loc[part.index, name].mean()),
                "n": len(part),
            }
            for name in names
        ]
    return rows


def _shares_gene(queries: pd.DataFrame, candidates: pd.DataFrame) -> NDArray[np.bool_]:
    genes = candidates[GENE].to_numpy()
    listed = genes_of(queries, listed=True)
    shares = [np.isin(genes, list(targets)) for targets in listed]
    return np.array(shares).reshape(len(queries), len(genes))


def _strata(table: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """All rows, then those of each subset that has some."""
    yield "all", table
    for subset in (Subset.TRAIN, Subset.VALIDATION, Subset.TEST):
        rows = table[table[SUBSET] == subset]
        if len(rows):
            yield str(subset), rows


def _by(metadata: pd.DataFrame, column: str) -> Iterator[NDArray[np.int64]]:
    codes, _ = pd.factorize(metadata[column])
    for code in range(codes.max() + 1):
        yield np.flatnonzero(codes == code)


def _cosine(one: Matrix, other: Matrix) -> NDArray[np.float64]:
    lengths = np.linalg.norm(one, axis=1) * np.linalg.norm(other, axis=1)
    products = np.einsum("ij,ij->i", one, other)
    return np.divide(products, lengths, out=np.zeros(len(one)), where=lengths > 0)


def _auroc(treated: NDArray[np.float64], control: NDArray[np.float64]) -> float:
    """P(a treated well scores higher than a control), ties half."""
    ranks = rankdata(np.concatenate([treated, control]))
    lowest = len(treated) * (len(treated) + 1) / 2
    return float((ranks[: len(treated)].sum() - lowest) / (len(treated) * len(control)))
