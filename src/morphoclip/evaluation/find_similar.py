"""A question to a trained model: which treatments are most similar to a text, treatment or vector?

Library code: a notebook calls these functions on tables and a model, without Kedro.
"""

import difflib
import logging
from collections.abc import Mapping
from typing import Any

import numpy as np
import pandas as pd
from pydantic import Field

from morphoclip.columns import BROAD_SAMPLE, CONDITION, GENE, GENETIC, MODALITY, MODEL, PERT_INAME
from morphoclip.config import Config
from morphoclip.errors import InputError, example_of
from morphoclip.evaluation.nearest_treatments import (
    OTHER_COLUMNS,
    nearest_treatments,
    notes_on_cells,
    rows_together,
)
from morphoclip.evaluation.treatments import FEW_CELLS, conditions_by_cell_type, top_matches
from morphoclip.metrics.conditions import treated_wells
from morphoclip.metrics.matrix import Matrix
from morphoclip.schemas.treatments import SIMILAR_TREATMENTS

logger = logging.getLogger(__name__)


class FindSimilarConfig(Config):
    """``params:find_similar``."""

    text: str | None = Field(None, min_length=1, description="Phrased like the prompts.")
    treatment: str | None = Field(
        None, min_length=1, description="A broad_sample, a compound or a gene."
    )
    top_k: int = Field(5, ge=1, description="Results per condition.")


def require_profiles_of(model_record: Mapping[str, Any], profiles: pd.DataFrame) -> None:
    """Refuse profiles that another model made.

    Raises:
        InputError: They name another digest than this model's.
    """
    made_by = sorted(set(profiles[MODEL]))
    if made_by != [model_record["digest"]]:
        raise InputError(
            f"the model {model_record['digest']} has no profiles yet (well_profiles are of "
            f"{', '.join(made_by)}): make them with kedro run --pipeline evaluation, or load "
            "versions that belong together"
        )


def similar_to_vector(
    vector: Matrix, profiles: pd.DataFrame, perturbations: pd.DataFrame, *, top_k: int, query: str
) -> pd.DataFrame:
    """The treatments of each condition that are most similar to a vector ``(E,)`` of the space.

    Args:
        vector: An embedding of unit length: of a text, a well, a treatment.
        profiles: Profiles of wells.
        perturbations: Names of compounds.
        top_k: Results per condition.
        query: What the table calls the question.
    """
    tables = []
    for by_name in conditions_by_cell_type(profiles, perturbations):
        for treatments in by_name.values():
            similarity, z = treatments.compared_with(vector[None])
            found = top_matches(similarity, top_k)
            facts = treatments.facts.iloc[found.candidate].reset_index(drop=True)
            tables.append(
                facts.assign(
                    rank=found.rank,
                    similarity=similarity[0, found.candidate],
                    similarity_sd=treatments.spaces.spread(
                        np.repeat(vector[None], len(facts), axis=0),
                        treatments.means[found.candidate],
                    ),
                    z=z[0, found.candidate],
                    z_expected_null=found.z_expected_null,
                    note=notes_on_cells(facts[FEW_CELLS]),
                )
            )
    tables = [table.assign(query=query, query_condition="") for table in tables]
    return rows_together(tables, list(SIMILAR_TREATMENTS.columns))


def similar_to_treatment(
    name: str, profiles: pd.DataFrame, perturbations: pd.DataFrame, *, top_k: int
) -> pd.DataFrame:
    """The treatments most similar to one treatment, in each of its conditions.

    All guides or constructs of a gene are one treatment here.

    Raises:
        InputError: No treatment has this name.
    """
    has_name = wells_named(name, profiles, perturbations)
    label = f"treatment: {name}"
    renamed = profiles.assign(**{BROAD_SAMPLE: profiles[BROAD_SAMPLE].mask(has_name, label)})
    nearest = nearest_treatments(renamed, perturbations, top_k=top_k, samples=[label])
    gene_of = profiles.groupby([MODALITY, BROAD_SAMPLE])[GENE].first()
    keys = pd.MultiIndex.from_frame(nearest[["other_modality", "other_broad_sample"]])
    table = pd.DataFrame(
        {
            "query": label,
            "query_condition": nearest[CONDITION],
            GENE: gene_of.reindex(keys).to_numpy(),
            **{column: nearest[other] for other, column in OTHER_COLUMNS.items()},
            **nearest[["rank", "similarity", "similarity_sd", "z", "z_expected_null", "note"]],
        }
    )
    return table[list(SIMILAR_TREATMENTS.columns)].reset_index(drop=True)


def wells_named(name: str, profiles: pd.DataFrame, perturbations: pd.DataFrame) -> pd.Series:
    """Which treated wells are of a broad_sample, a compound or a gene of this name, ``(B,)``.

    Raises:
        InputError: No treatment has this name; lists names that are spelled similarly.
    """
    keys = pd.MultiIndex.from_frame(profiles[[MODALITY, BROAD_SAMPLE]])
    compound_names = perturbations.set_index([MODALITY, BROAD_SAMPLE])[PERT_INAME].reindex(keys)
    is_genetic = profiles[MODALITY].isin(GENETIC)
    names = pd.DataFrame(
        {
            "id": profiles[BROAD_SAMPLE],
            "compound": compound_names.to_numpy(),
            "gene": profiles[GENE].where(is_genetic),
        }
    )
    names = names.astype("str").apply(lambda column: column.str.lower())
    has_name, treated = names.eq(name.strip().lower()).any(axis=1), treated_wells(profiles)
    if has_name.any() and not (has_name & treated).any():
        raise InputError(
            f"{name} is a control here: treatments are compared with each other, and their "
            "similarity is held against that of controls (z); ask about a treatment"
        )
    names, matches = names[treated], has_name[treated]
    ids = profiles.loc[matches.index[matches], BROAD_SAMPLE].unique()
    if len(ids) > 1:
        logger.info("%s stands for %d IDs together: %s", name, len(ids), example_of(ids, limit=5))
    if not matches.any():
        candidates = {text for text in names.to_numpy().ravel() if isinstance(text, str)}
        close = difflib.get_close_matches(name.lower(), sorted(candidates), n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise InputError(
            f"no treatment of these profiles has the name {name}, by broad_sample, compound or gene"
            f"{hint}"
        )
    return matches.reindex(profiles.index, fill_value=False)
