"""What a model answers about a treatment: which words, which look-alikes, which of its targets.

Similarities of treatments are mean cosines between a query and the wells of a candidate. ``z`` says
how far that lies beyond the negative controls' wells of the candidate's condition, in standard
errors of a mean of as many wells: wells of a plate are not independent, so it ranks and warns, and
is no test.
"""

import difflib
from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from sklearn.preprocessing import normalize

from morphoclip.config import Config
from morphoclip.errors import InputError
from morphoclip.metrics.matching import scored_controls
from morphoclip.metrics.retrieval import Matrix, consensus_profiles
from morphoclip.metrics.scores import embedding_columns, matched_texts
from morphoclip.perturbations.tables import genes_of
from morphoclip.schemas import (
    BROAD_SAMPLE,
    CELL_TYPE,
    CONDITION,
    GENE,
    LOOK_ALIKES,
    LOOKED_UP,
    MODALITY,
    PERT_INAME,
    PROMPT,
    PROMPT_DIGEST,
    RETRIEVED_TEXTS,
    ROLE,
    SUBSET,
    TARGET_GENES,
    TARGET_LIST,
    Modality,
    Role,
    Subset,
)

NAME = "name"


class LookUpConfig(Config):
    """``params:look_up``."""

    words: str | None = Field(None, description="Words, as a prompt would put them.")
    treatment: str | None = Field(None, description="A broad_sample, a compound or a gene.")
    places: int = Field(5, ge=1, description="Answers a condition.")


@dataclass(frozen=True)
class Treatments:
    """G treatments of one condition, and its K controls.

    Attributes:
        facts: One row a treatment, in the order of ``means``.
        means: Mean of the unit vectors of each treatment's wells, ``(G, E)``.
        n_wells: Number of wells of each, ``(G,)``.
        controls: Unit vectors of the control wells, ``(K, E)``.
    """

    facts: pd.DataFrame
    means: Matrix
    n_wells: NDArray[np.int64]
    controls: Matrix

    def compared_with(self, queries: Matrix) -> tuple[Matrix, Matrix]:
        """Similarity and z of each treatment to unit vectors ``(Q, E)``, both ``(Q, G)``."""
        similarity = queries @ self.means.T
        if len(self.controls) < 2:
            return similarity, np.full_like(similarity, np.nan)
        of_controls = queries @ self.controls.T
        centre = of_controls.mean(axis=1, keepdims=True)
        error = of_controls.std(axis=1, ddof=1, keepdims=True) / np.sqrt(self.n_wells)
        return similarity, np.divide(
            similarity - centre, error, out=np.full_like(similarity, np.nan), where=error > 0
        )


def retrieved_texts(
    profiles: pd.DataFrame, prompt_embeddings: pd.DataFrame, prompts: pd.DataFrame, *, places: int
) -> pd.DataFrame:
    """The words that fit each held-out perturbation best, among those of its modality."""
    image, codes, text, modality, digests = matched_texts(profiles, prompt_embeddings, Subset.TEST)
    consensus = consensus_profiles(image, codes, len(text))
    said = prompts.drop_duplicates(PROMPT_DIGEST).set_index(PROMPT_DIGEST)[PROMPT]
    words = said.loc[digests].to_numpy()
    tables = []
    for name in np.unique(modality):
        own = np.flatnonzero(modality == name)
        similarity = consensus[own] @ text[own].T.astype(np.float64)
        rank = _expected_rank(similarity, np.diag(similarity))
        query, place, chosen = _best(similarity, places)
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

    Candidates are of the same cell type. Which subset each is of stands beside it: what a model
    was trained on, it was told to tell apart.
    """
    tables = []
    for queries, candidates in _pairs_of_conditions(profiles, perturbations):
        similarity, z = candidates.compared_with(normalize(queries.means))
        names, others = (own.facts[BROAD_SAMPLE].to_numpy() for own in (queries, candidates))
        is_itself = (names[:, None] == others[None, :]) & (queries is candidates)
        query, place, chosen = _best(np.where(is_itself, -np.inf, similarity), places)
        facts = queries.facts.iloc[query].reset_index(drop=True)
        other = candidates.facts.iloc[chosen].reset_index(drop=True)
        tables.append(
            facts.assign(
                place=place,
                similarity=similarity[query, chosen],
                z=z[query, chosen],
                shares_gene=[
                    bool(set(one) & set(two))
                    for one, two in zip(facts["genes"], other["genes"], strict=True)
                ],
                **{f"other_{name}": other[column] for name, column in _OTHER.items()},
            )
        )
    return _rows(tables, list(LOOK_ALIKES.columns))


def target_genes(profiles: pd.DataFrame, perturbations: pd.DataFrame) -> pd.DataFrame:
    """For each compound, where each gene that it targets comes among the genes perturbed.

    A gene is all its guides or constructs of one condition; rank 1 is the most similar gene of
    ``n_genes``. Targets that nothing perturbs are not listed.
    """
    keep_id = profiles[MODALITY].eq(Modality.COMPOUND) | profiles[GENE].isna()
    by_gene = profiles.assign(
        **{BROAD_SAMPLE: profiles[BROAD_SAMPLE].where(keep_id, profiles[GENE])}
    )
    tables = []
    for queries, candidates in _pairs_of_conditions(by_gene, perturbations):
        is_of_compounds = queries.facts[MODALITY].eq(Modality.COMPOUND).all()
        if not is_of_compounds or candidates.facts[MODALITY].eq(Modality.COMPOUND).any():
            continue
        similarity, z = candidates.compared_with(normalize(queries.means))
        place_of = {gene: n for n, gene in enumerate(candidates.facts[GENE])}
        found = [
            (query, place_of[gene])
            for query, genes in enumerate(queries.facts["genes"])
            for gene in genes
            if gene in place_of
        ]
        if not found:
            continue
        query, chosen = np.array(found).T
        own = similarity[query, chosen]
        tables.append(
            queries.facts.iloc[query]
            .reset_index(drop=True)
            .assign(
                similarity=own,
                z=z[query, chosen],
                rank=_expected_rank(similarity[query], own),
                n_genes=len(candidates.facts),
                other_condition=candidates.facts[CONDITION].iloc[0],
                other_modality=candidates.facts[MODALITY].iloc[0],
                gene=candidates.facts[GENE].to_numpy()[chosen],
            )
        )
    return _rows(tables, list(TARGET_GENES.columns))


def nearest_treatments(
    query: Matrix, profiles: pd.DataFrame, perturbations: pd.DataFrame, *, places: int
) -> pd.DataFrame:
    """The treatments of each condition that are most similar to a unit vector ``(E,)``."""
    tables = []
    for named in _cells(profiles, perturbations):
        for treatments in named.values():
            similarity, z = treatments.compared_with(query[None])
            _, place, chosen = _best(similarity, places)
            own = treatments.facts.iloc[chosen].reset_index(drop=True)
            tables.append(own.assign(place=place, similarity=similarity[0, chosen], z=z[0, chosen]))
    return _rows(tables, [name for name in LOOKED_UP.columns if name != "query"])


def wells_called(name: str, profiles: pd.DataFrame, perturbations: pd.DataFrame) -> pd.Series:
    """Which treated wells are of a broad_sample, a compound or a gene of this name, ``(B,)``.

    Raises:
        InputError: None is; with names that are spelled alike.
    """
    keys = pd.MultiIndex.from_frame(profiles[[MODALITY, BROAD_SAMPLE]])
    inames = perturbations.set_index([MODALITY, BROAD_SAMPLE])[PERT_INAME].reindex(keys).to_numpy()
    is_genetic = profiles[MODALITY].ne(Modality.COMPOUND)
    names = pd.DataFrame(
        {
            "id": profiles[BROAD_SAMPLE],
            "iname": inames,
            "gene": profiles[GENE].where(is_genetic),
        }
    ).apply(lambda column: column.str.lower())
    treated = ~profiles[ROLE].isin([Role.NEGCON, Role.EMPTY])
    found = names.eq(name.strip().lower()).any(axis=1) & treated
    if not found.any():
        known = sorted({n for n in names[treated].to_numpy().ravel() if isinstance(n, str)})
        close = difflib.get_close_matches(name.lower(), known, n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise InputError(
            f"no treatment of these profiles is called {name}, by broad_sample, compound or gene"
            f"{hint}"
        )
    return found


_OTHER = {
    "condition": CONDITION,
    "modality": MODALITY,
    "broad_sample": BROAD_SAMPLE,
    "name": NAME,
    "subset": SUBSET,
}


def _best(similarity: Matrix, places: int) -> tuple[NDArray[np.int64], ...]:
    """Row, place from 1, and column of each row's largest entries that are finite."""
    order = np.argsort(-similarity, axis=1, kind="stable")[:, :places]
    query, place = np.nonzero(np.isfinite(np.take_along_axis(similarity, order, axis=1)))
    return query, place + 1, order[query, place]


def _expected_rank(similarity: Matrix, own: Matrix) -> Matrix:
    """Rank of one entry of each row ``(Q,)``, the mean over orders of what ties with it."""
    rows, own = np.round(similarity, 6), np.round(own, 6)[:, None]
    return (rows > own).sum(axis=1) + ((rows == own).sum(axis=1) + 1) / 2


def _rows(tables: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    if not tables:
        return pd.DataFrame(columns=columns)
    return pd.concat(tables, ignore_index=True)[columns]


def _pairs_of_conditions(
    profiles: pd.DataFrame, perturbations: pd.DataFrame
) -> Iterator[tuple[Treatments, Treatments]]:
    """Each condition beside itself and beside those of other modalities on the same cells."""
    for named in _cells(profiles, perturbations):
        for one, queries in named.items():
            for other, candidates in named.items():
                modalities = queries.facts[MODALITY].iloc[0], candidates.facts[MODALITY].iloc[0]
                if one == other or modalities[0] != modalities[1]:
                    yield queries, candidates


def _cells(profiles: pd.DataFrame, perturbations: pd.DataFrame) -> Iterator[dict[str, Treatments]]:
    """For each cell type its conditions by name."""
    profiles = profiles.assign(**{CONDITION: profiles[CONDITION].fillna(profiles[MODALITY])})
    for _, cell in profiles.groupby(profiles[CELL_TYPE].fillna("")):
        yield {
            str(name): _treatments(own, perturbations)
            for name, own in cell.groupby(CONDITION)
            if (~own[ROLE].isin([Role.NEGCON, Role.EMPTY])).any()
        }


def _treatments(wells: pd.DataFrame, perturbations: pd.DataFrame) -> Treatments:
    unit = normalize(wells[embedding_columns(wells)].to_numpy(dtype=np.float64))
    treated = (~wells[ROLE].isin([Role.NEGCON, Role.EMPTY])).to_numpy()
    codes, ids = pd.factorize(wells.loc[treated, BROAD_SAMPLE], sort=True)
    sums = np.zeros((len(ids), unit.shape[1]))
    np.add.at(sums, codes, unit[treated])
    n_wells = np.bincount(codes)
    by_id = wells[treated].groupby(BROAD_SAMPLE)
    facts = by_id[[CONDITION, MODALITY, GENE, TARGET_LIST]].first()
    facts[SUBSET] = by_id[SUBSET].agg(lambda own: own.iloc[0] if len(set(own)) == 1 else None)
    facts = facts.reset_index()
    known = perturbations.set_index([MODALITY, BROAD_SAMPLE])[PERT_INAME]
    names = known.reindex(pd.MultiIndex.from_frame(facts[[MODALITY, BROAD_SAMPLE]])).to_numpy()
    is_compound = facts[MODALITY].eq(Modality.COMPOUND)
    facts[NAME] = pd.Series(names).where(is_compound, facts[GENE]).fillna(facts[BROAD_SAMPLE])
    facts["genes"] = genes_of(facts, listed=True)
    return Treatments(
        facts, sums / n_wells[:, None], n_wells, unit[scored_controls(wells).to_numpy()]
    )
