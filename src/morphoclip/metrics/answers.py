"""What a model answers about treatments: which words, which look-alikes, which of its targets."""

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from sklearn.preprocessing import normalize

from morphoclip.metrics.retrieval import DECIMALS, Matrix, consensus_profiles
from morphoclip.metrics.scores import matched_texts
from morphoclip.metrics.treatments import GENES, NAME, Treatments, nearest, pairs_of_conditions
from morphoclip.schemas import (
    BROAD_SAMPLE,
    CONDITION,
    ENTITY,
    GENE,
    LOOK_ALIKES,
    MODALITY,
    PROMPT,
    PROMPT_DIGEST,
    RETRIEVED_TEXTS,
    SUBSET,
    TARGET_GENES,
    Modality,
    Subset,
)


def retrieved_texts(
    profiles: pd.DataFrame, prompt_embeddings: pd.DataFrame, prompts: pd.DataFrame, *, places: int
) -> pd.DataFrame:
    """The words closest to each held-out perturbation, among the held-out ones of its modality."""
    image, codes, text, modality, digests = matched_texts(profiles, prompt_embeddings, Subset.TEST)
    consensus = consensus_profiles(image, codes, len(text))
    said = prompts.drop_duplicates(PROMPT_DIGEST).set_index(PROMPT_DIGEST)[PROMPT]
    words = said.loc[digests].to_numpy()
    tables = []
    for name in np.unique(modality):
        own = np.flatnonzero(modality == name)
        similarity = consensus[own] @ text[own].T.astype(np.float64)
        rank = _expected_rank(similarity, np.diag(similarity))
        query, place, chosen, _ = nearest(similarity, places)
        tables.append(
            pd.DataFrame(
                {
                    MODALITY: name,
                    PROMPT: words[own[query]],
                    "rank_of_own": rank[query],
                    "n_candidates": len(own),
                    "place": place,
                    "retrieved": words[own[chosen]],
                    "similarity": similarity[query, chosen],
                    "is_own": query == chosen,
                }
            )
        )
    return pd.concat(tables, ignore_index=True)[list(RETRIEVED_TEXTS.columns)]


def look_alikes(
    profiles: pd.DataFrame, perturbations: pd.DataFrame, *, places: int
) -> pd.DataFrame:
    """For each treatment, the most similar others of its condition and of other modalities.

    Candidates are of the same cell type; other IDs of one entity (a compound's other batches, a
    gene's other guides) are no answer within a condition.
    """
    tables = []
    for queries, candidates in pairs_of_conditions(profiles, perturbations):
        similarity, z = candidates.compared_with(normalize(queries.means))
        if queries is candidates:
            similarity = np.where(_same_entity(queries), -np.inf, similarity)
        query, place, chosen, luck = nearest(similarity, places)
        facts = queries.facts.iloc[query].reset_index(drop=True)
        other = candidates.facts.iloc[chosen].reset_index(drop=True)
        tables.append(
            facts.assign(
                place=place,
                similarity=similarity[query, chosen],
                z=z[query, chosen],
                z_by_luck=luck,
                n_wells=candidates.n_wells[chosen],
                shares_gene=[
                    bool(set(one) & set(two))
                    for one, two in zip(facts[GENES], other[GENES], strict=True)
                ],
                **{f"other_{name}": other[column] for name, column in OTHER.items()},
            )
        )
    return _rows(tables, list(LOOK_ALIKES.columns))


def target_genes(profiles: pd.DataFrame, perturbations: pd.DataFrame) -> pd.DataFrame:
    """For each compound, where each gene that it targets comes among the genes perturbed.

    A gene is all its guides or constructs of one condition; rank 1 is the most similar gene of
    ``n_genes``, ties counting as their mean. Targets that nothing perturbs are not listed.
    """
    tables = []
    for queries, candidates in pairs_of_conditions(_by_gene(profiles), perturbations):
        if queries.modality != Modality.COMPOUND or candidates.modality == Modality.COMPOUND:
            continue
        similarity, z = candidates.compared_with(normalize(queries.means))
        place_of = {gene: n for n, gene in enumerate(candidates.facts[GENE])}
        found = [
            (query, place_of[gene])
            for query, genes in enumerate(queries.facts[GENES])
            for gene in genes
            if gene in place_of
        ]
        if not found:
            continue
        query, chosen = np.array(found).T
        own = similarity[query, chosen]
        other = candidates.facts.iloc[chosen].reset_index(drop=True)
        tables.append(
            queries.facts.iloc[query]
            .reset_index(drop=True)
            .assign(
                similarity=own,
                z=z[query, chosen],
                rank=_expected_rank(similarity[query], own),
                n_genes=len(candidates.facts),
                gene=other[GENE],
                **{f"other_{name}": other[OTHER[name]] for name in OTHER},
            )
        )
    return _rows(tables, list(TARGET_GENES.columns))


OTHER = {
    "condition": CONDITION,
    "modality": MODALITY,
    "broad_sample": BROAD_SAMPLE,
    "name": NAME,
    "subset": SUBSET,
}
"""What is said of an answer (``other_*``), and the column of facts that says it."""


def _by_gene(profiles: pd.DataFrame) -> pd.DataFrame:
    """Genetic wells under their gene in place of their guide's or construct's ID."""
    keep = profiles[MODALITY].eq(Modality.COMPOUND) | profiles[GENE].isna()
    return profiles.assign(**{BROAD_SAMPLE: profiles[BROAD_SAMPLE].where(keep, profiles[GENE])})


def _same_entity(treatments: Treatments) -> NDArray[np.bool_]:
    entity = treatments.facts[ENTITY].to_numpy()
    return entity[:, None] == entity[None, :]


def _expected_rank(similarity: Matrix, own: Matrix) -> Matrix:
    """Rank of one entry of each row ``(Q,)``, the mean over orders of what ties with it."""
    rows, own = np.round(similarity, DECIMALS), np.round(own, DECIMALS)[:, None]
    return (rows > own).sum(axis=1) + ((rows == own).sum(axis=1) + 1) / 2


def _rows(tables: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    if not tables:
        return pd.DataFrame(columns=columns)
    return pd.concat(tables, ignore_index=True)[columns]
