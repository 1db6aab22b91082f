"""Where the target genes of each compound rank among the genes that were perturbed."""

import numpy as np
import pandas as pd

from morphoclip.columns import BROAD_SAMPLE, GENE, GENETIC, MODALITY, Modality
from morphoclip.evaluation.nearest_treatments import OTHER_COLUMNS, rows_together
from morphoclip.evaluation.treatments import GENES, Treatments, comparable_conditions
from morphoclip.metrics.matrix import unit_rows
from morphoclip.metrics.query_metrics import SIMILARITIES_AT_A_TIME
from morphoclip.metrics.ranking import expected_rank
from morphoclip.schemas.treatments import TARGET_GENES


def target_genes(profiles: pd.DataFrame, perturbations: pd.DataFrame) -> pd.DataFrame:
    """For each compound, where each gene that it targets ranks among the genes perturbed.

    A gene is all its guides or constructs of one condition; rank 1 is the most similar gene of
    ``n_genes``, ties counting as their mean. Targets that nothing perturbs are not listed.
    """
    tables = []
    for queries, candidates in comparable_conditions(_by_gene(profiles), perturbations):
        if queries.modality != Modality.COMPOUND or candidates.modality not in GENETIC:
            continue
        at_a_time = max(1, SIMILARITIES_AT_A_TIME // len(candidates.means))
        for some in queries.in_parts(at_a_time):
            tables.append(_ranks_of_targets(some, candidates))
    return rows_together(tables, list(TARGET_GENES.columns))


def _ranks_of_targets(queries: Treatments, candidates: Treatments) -> pd.DataFrame:
    """The targets of some compounds among the genes of a condition; empty without any."""
    asked = unit_rows(queries.means)
    column_of = {gene: n for n, gene in enumerate(candidates.facts[GENE])}
    targets = [
        (query, column_of[gene])
        for query, genes in enumerate(queries.facts[GENES])
        for gene in genes
        if gene in column_of
    ]
    if not targets:
        return pd.DataFrame()
    similarity, z = candidates.compared_with(asked)
    query, candidate = np.array(targets).T
    of_target = similarity[query, candidate]
    other = candidates.facts.iloc[candidate].reset_index(drop=True)
    facts = queries.facts.iloc[query].reset_index(drop=True)
    return facts.assign(
        similarity=of_target,
        similarity_sd=candidates.spaces.spread(asked[query], candidates.means[candidate]),
        z=z[query, candidate],
        rank=expected_rank(similarity[query], of_target),
        n_genes=len(candidates.facts),
        gene=other[GENE],
        **{name: other[column] for name, column in OTHER_COLUMNS.items()},
    )


def _by_gene(profiles: pd.DataFrame) -> pd.DataFrame:
    """Genetic wells under their gene in place of their guide's or construct's ID."""
    keeps_id = ~profiles[MODALITY].isin(GENETIC) | profiles[GENE].isna()
    return profiles.assign(**{BROAD_SAMPLE: profiles[BROAD_SAMPLE].where(keeps_id, profiles[GENE])})
