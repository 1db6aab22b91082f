"""A user's question: which treatments are most like these words, or like this treatment?"""

import difflib

import pandas as pd
from pydantic import Field

from morphoclip.config import Config
from morphoclip.errors import InputError
from morphoclip.metrics.answers import OTHER, look_alikes
from morphoclip.metrics.matching import treated_wells
from morphoclip.metrics.retrieval import Matrix
from morphoclip.metrics.treatments import conditions_by_cell_type, nearest
from morphoclip.schemas import (
    BROAD_SAMPLE,
    CONDITION,
    GENE,
    LOOKED_UP,
    MODALITY,
    PERT_INAME,
    Modality,
)


class LookUpConfig(Config):
    """``params:look_up``."""

    words: str | None = Field(None, min_length=1, description="Words, as a prompt would put them.")
    treatment: str | None = Field(
        None, min_length=1, description="A broad_sample, a compound or a gene."
    )
    places: int = Field(5, ge=1, description="Answers a condition.")


def nearest_to_words(
    words: str, embedding: Matrix, profiles: pd.DataFrame, perturbations: pd.DataFrame, places: int
) -> pd.DataFrame:
    """The treatments of each condition that are most similar to words embedded as ``(E,)``."""
    tables = []
    for named in conditions_by_cell_type(profiles, perturbations):
        for treatments in named.values():
            similarity, z = treatments.compared_with(embedding[None])
            _, place, chosen, luck = nearest(similarity, places)
            own = treatments.facts.iloc[chosen].reset_index(drop=True)
            tables.append(
                own.assign(
                    place=place, similarity=similarity[0, chosen], z=z[0, chosen], z_by_luck=luck
                )
            )
    found = pd.concat(tables, ignore_index=True)
    return found.assign(query=f"words: {words}", query_condition="")[list(LOOKED_UP.columns)]


def nearest_to_treatment(
    name: str, profiles: pd.DataFrame, perturbations: pd.DataFrame, places: int
) -> pd.DataFrame:
    """Look-alikes of what is called so, in each of its conditions.

    All guides or constructs of a gene are one treatment here.

    Raises:
        InputError: Nothing is called so.
    """
    called = wells_called(name, profiles, perturbations)
    label = f"treatment: {name}"
    ids = profiles[BROAD_SAMPLE].mask(called, label)
    found = look_alikes(profiles.assign(**{BROAD_SAMPLE: ids}), perturbations, places=places)
    found = found[found[BROAD_SAMPLE] == label]
    gene_of = profiles.groupby([MODALITY, BROAD_SAMPLE])[GENE].first()
    others = pd.MultiIndex.from_frame(found[["other_modality", "other_broad_sample"]])
    answers = pd.DataFrame(
        {
            "query": label,
            "query_condition": found[CONDITION],
            GENE: gene_of.reindex(others).to_numpy(),
            **{column: found[f"other_{said}"] for said, column in OTHER.items()},
            **found[["place", "similarity", "z", "z_by_luck"]],
        }
    )
    return answers[list(LOOKED_UP.columns)].reset_index(drop=True)


def wells_called(name: str, profiles: pd.DataFrame, perturbations: pd.DataFrame) -> pd.Series:
    """Which treated wells are of a broad_sample, a compound or a gene of this name, ``(B,)``.

    Raises:
        InputError: None is; with names that are spelled alike.
    """
    keys = pd.MultiIndex.from_frame(profiles[[MODALITY, BROAD_SAMPLE]])
    inames = perturbations.set_index([MODALITY, BROAD_SAMPLE])[PERT_INAME].reindex(keys)
    is_genetic = profiles[MODALITY].ne(Modality.COMPOUND)
    names = pd.DataFrame(
        {
            "id": profiles[BROAD_SAMPLE],
            "iname": inames.to_numpy(),
            "gene": profiles[GENE].where(is_genetic),
        }
    )
    names = names.astype("str").apply(lambda column: column.str.lower())[treated_wells(profiles)]
    found = names.eq(name.strip().lower()).any(axis=1)
    if not found.any():
        known = {said for said in names.to_numpy().ravel() if isinstance(said, str)}
        close = difflib.get_close_matches(name.lower(), sorted(known), n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise InputError(
            f"no treatment of these profiles is called {name}, by broad_sample, compound or gene"
            f"{hint}"
        )
    return found.reindex(profiles.index, fill_value=False)
