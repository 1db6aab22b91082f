"""The treatments most similar to each treatment, in its condition and in other modalities."""

from collections.abc import Collection

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morphoclip.columns import BROAD_SAMPLE, CONDITION, ENTITY, MODALITY, SUBSET
from morphoclip.evaluation.treatments import (
    FEW_CELLS,
    GENES,
    MECHANISMS,
    NAME,
    Treatments,
    comparable_conditions,
    top_matches,
)
from morphoclip.metrics.matrix import unit_rows
from morphoclip.schemas.treatments import NEAREST_TREATMENTS

OTHER_COLUMNS = {
    "other_condition": CONDITION,
    "other_modality": MODALITY,
    "other_broad_sample": BROAD_SAMPLE,
    "other_name": NAME,
    "other_subset": SUBSET,
}
"""What a table says of the treatment that was found, and the column of facts that says it."""


_SIMILARITIES_AT_A_TIME = 2**23
"""Of queries to candidates and controls: 64 MiB, of which there are a handful."""


def nearest_treatments(
    profiles: pd.DataFrame,
    perturbations: pd.DataFrame,
    *,
    top_k: int,
    samples: Collection[str] | None = None,
) -> pd.DataFrame:
    """For each treatment, the most similar others of its condition and of other modalities.

    Candidates are of the same cell type. Other IDs of one entity (a compound's other batches, a
    gene's other guides) are not candidates within a condition.

    Args:
        profiles: Profiles of wells.
        perturbations: Names of compounds.
        top_k: Results per treatment and condition.
        samples: IDs of the treatments to compare; None takes all of them.
    """
    tables = []
    for all_queries, candidates in comparable_conditions(profiles, perturbations):
        queries = all_queries if samples is None else all_queries.select(samples)
        at_a_time = max(
            1, _SIMILARITIES_AT_A_TIME // (len(candidates.means) + len(candidates.controls))
        )
        for some in queries.in_parts(at_a_time):
            tables.append(_matches(some, candidates, top_k, is_own=all_queries is candidates))
    return rows_together(tables, list(NEAREST_TREATMENTS.columns))


def _matches(
    queries: Treatments, candidates: Treatments, top_k: int, *, is_own: bool
) -> pd.DataFrame:
    """The most similar candidates of each query; ``is_own`` where both are of one condition."""
    asked = unit_rows(queries.means)
    similarity, z = candidates.compared_with(asked)
    if is_own:
        similarity = np.where(_same_entity(queries, candidates), -np.inf, similarity)
    p, q = candidates.significance(asked, similarity)
    found = top_matches(similarity, top_k)
    facts = queries.facts.iloc[found.query].reset_index(drop=True)
    other = candidates.facts.iloc[found.candidate].reset_index(drop=True)
    return facts.assign(
        rank=found.rank,
        similarity=similarity[found.query, found.candidate],
        similarity_sd=candidates.spaces.spread(
            asked[found.query], candidates.means[found.candidate]
        ),
        z=z[found.query, found.candidate],
        z_expected_null=found.z_expected_null,
        p=p[found.query, found.candidate],
        q=q[found.query, found.candidate],
        n_wells=candidates.n_wells[found.candidate],
        note=notes_on_cells(other[FEW_CELLS], facts[FEW_CELLS]),
        shared_targets=shared_entries(facts[GENES], other[GENES]),
        shared_mechanisms=shared_entries(facts[MECHANISMS], other[MECHANISMS]),
        **{name: other[column] for name, column in OTHER_COLUMNS.items()},
    )


def shared_entries(one: pd.Series, other: pd.Series) -> list[str | None]:
    """What both of two tuples hold, ``A|B``; None where that is nothing."""
    shared = [
        "|".join(name for name in mine if name in set(theirs))
        for mine, theirs in zip(one, other, strict=True)
    ]
    return [names or None for names in shared]


def notes_on_cells(found: pd.Series, asked: pd.Series | None = None) -> list[str | None]:
    """What to know of an answer whose wells, or those that were asked about, show hardly a cell."""
    sides = zip(found, found & False if asked is None else asked, strict=True)
    return [_NOTES[bool(one), bool(two)] for one, two in sides]


_NOTES = {
    (False, False): None,
    (True, False): "few cells",
    (False, True): "query: few cells",
    (True, True): "both: few cells",
}


def rows_together(tables: list[pd.DataFrame], columns: list[str]) -> pd.DataFrame:
    """The tables below each other, with these columns; an empty one where there are none."""
    filled = [table for table in tables if len(table)]
    if not filled:
        return pd.DataFrame(columns=columns)
    return pd.concat(filled, ignore_index=True)[columns]


def _same_entity(queries: Treatments, candidates: Treatments) -> NDArray[np.bool_]:
    return np.equal.outer(queries.facts[ENTITY].to_numpy(), candidates.facts[ENTITY].to_numpy())
