"""Treatments that share a target, and compounds with the perturbations of their target genes.

As Chandrasekaran et al. 2024 (`benchmark/1.0.calculate-map-cp.ipynb`).
"""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morphoclip.columns import BROAD_SAMPLE, MODALITY, SUBSET, Modality
from morphoclip.metrics.average_precision import Scored, score_groups
from morphoclip.metrics.chance import NullConfig
from morphoclip.metrics.conditions import compound_gene_pairs
from morphoclip.metrics.matrix import Matrix
from morphoclip.metrics.ranked_pairs import incidence, label_precisions, shared_labels
from morphoclip.metrics.ties import TIED, Pairs, Tied, ties_decide
from morphoclip.perturbations.doses import without_dose
from morphoclip.perturbations.genes import genes_of

_UNDOSED = "Metadata_without_dose"
_LABEL = "Metadata_matching_target"


def match_targets(
    consensus: pd.DataFrame, matrix: Matrix, null: NullConfig
) -> Scored | Tied | None:
    """Replicable perturbations that share a target: compounds of one gene, guides of one gene.

    Two doses of a compound are neither a pair nor not. The index of ``consensus`` names rows of
    ``matrix``; so it does in `match_genes_and_compounds`.
    """
    is_compound = consensus[MODALITY].iloc[0] == Modality.COMPOUND
    undosed = without_dose(consensus[BROAD_SAMPLE])
    table = consensus.assign(**{_LABEL: genes_of(consensus, listed=is_compound), _UNDOSED: undosed})
    table = _with_partners(table[table[_LABEL].map(len) > 0])
    if table.empty:
        return None

    apart, _ = pd.factorize(table[_UNDOSED])
    return _scored(table, matrix, apart, null, absolute=is_compound)


def match_genes_and_compounds(
    pair: pd.DataFrame, matrix: Matrix, null: NullConfig
) -> Scored | Tied | None:
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
    if table.empty:
        return None

    sides, _ = pd.factorize(table[MODALITY])
    return _scored(table, matrix, sides, null, absolute=True)


def _scored(
    table: pd.DataFrame,
    matrix: Matrix,
    apart: NDArray[np.int64],
    null: NullConfig,
    *,
    absolute: bool,
) -> Scored | Tied | None:
    """Rows that share a label against those that share none, of other codes of ``apart``."""
    has = incidence(table[_LABEL])

    def pairs_of(rows: NDArray[np.int64]) -> Pairs:
        is_apart = apart[rows, None] == apart[None, :]
        shares = shared_labels(has, rows)
        return Pairs(shares & ~is_apart, ~shares & ~is_apart)

    profiles = matrix[table.index]
    if ties_decide(profiles, np.arange(len(table)), pairs_of, absolute=absolute):
        return TIED
    found = label_precisions(profiles, has, apart=apart, absolute=absolute)
    names = np.sort(table[_LABEL].explode().unique())
    scores = found.beside(table[[BROAD_SAMPLE, SUBSET]])
    return score_groups(scores.assign(**{_LABEL: names[found.label]}), _LABEL, null)


def gene_compound_tracks(active: pd.DataFrame) -> Iterator[tuple[str, pd.DataFrame]]:
    """Compounds of a condition with the genetic perturbations of another on the same cells."""
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
