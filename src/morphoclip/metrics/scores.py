"""Retrieval of each subset, from tables of profiles."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from morphoclip.config import Config
from morphoclip.metrics.queries import MODEL, query_rows
from morphoclip.metrics.retrieval import (
    Interval,
    Matrix,
    consensus_profiles,
    permutation_test,
    reciprocal_ranks_by_modality,
    retrieval_table,
)
from morphoclip.schemas import (
    EMBEDDING_PREFIX,
    MODALITY,
    PERMUTATION_TEST,
    PROMPT_DIGEST,
    RETRIEVAL_METRICS,
    SUBSET,
    Subset,
)


class EvaluationConfig(Config):
    """``params:evaluation``."""

    null_size: int = Field(100_000, ge=1, description="Draws of a permutation null.")
    bootstrap_draws: int = Field(2000, ge=100, description="Draws of an interval.")
    n_answers: int = Field(5, ge=1, description="Places shown a question.")
    seed: int = 42
    batch_size: int = Field(512, ge=1, description="Wells embedded at a time.")
    device: str = Field("auto", description="auto takes a CUDA device where there is one.")


class Scores(NamedTuple):
    """Retrieval beside chance, and against permuted texts."""

    retrieval: pd.DataFrame
    permutation: pd.DataFrame


def embedding_columns(table: pd.DataFrame) -> list[str]:
    """Columns that hold an embedding, in order."""
    return [name for name in table.columns if name.startswith(EMBEDDING_PREFIX)]


def score_subsets(
    profiles: pd.DataFrame, prompt_embeddings: pd.DataFrame, config: EvaluationConfig
) -> Scores:
    """Score validation and test; candidates are the subset's own distinct texts.

    Train is not scored: a model that learnt nothing that holds elsewhere still retrieves its own
    training pairs far above chance.
    """
    retrieval, permutation = [], []
    for subset in (Subset.VALIDATION, Subset.TEST):
        matched = matched_texts(profiles, prompt_embeddings, subset)[:4]
        interval = Interval(config.bootstrap_draws, config.seed)
        retrieval.append(retrieval_table(*matched, interval).assign(subset=str(subset)))
        tested = permutation_test(
            reciprocal_ranks_by_modality(*matched), null_size=config.null_size, seed=config.seed
        )
        permutation.append({"subset": str(subset), "scope": "within_modality", **tested})
    return Scores(
        pd.concat(retrieval, ignore_index=True)[list(RETRIEVAL_METRICS.columns)],
        pd.DataFrame(permutation)[list(PERMUTATION_TEST.columns)],
    )


def profile_queries(
    profiles: pd.DataFrame, prompt_embeddings: pd.DataFrame, subset: Subset
) -> pd.DataFrame:
    """The model's rows beside those of the baselines: one a perturbation of the subset."""
    image, codes, text, modality, digests = matched_texts(profiles, prompt_embeddings, subset)
    similarity = consensus_profiles(image, codes, len(text)) @ text.T.astype(np.float64)
    return query_rows(similarity, digests, modality, MODEL)


class MatchedTexts(NamedTuple):
    """A subset's wells ``(B, E)`` and texts ``(P, E)``, and which text is true of which well."""

    image: Matrix
    prompt_of_well: NDArray[np.int64]
    text: Matrix
    modality: NDArray[np.str_]
    digests: NDArray[np.str_]


def matched_texts(
    profiles: pd.DataFrame, prompt_embeddings: pd.DataFrame, subset: Subset
) -> MatchedTexts:
    """The wells and distinct texts of a subset."""
    dims = embedding_columns(profiles)
    wells = profiles[profiles[SUBSET] == subset]
    codes, digests = pd.factorize(wells[PROMPT_DIGEST], sort=True)
    modality = wells.groupby(PROMPT_DIGEST)[MODALITY].first().loc[digests]
    return MatchedTexts(
        wells[dims].to_numpy(),
        codes.astype(np.int64),
        prompt_embeddings.set_index(PROMPT_DIGEST).loc[digests, dims].to_numpy(),
        modality.to_numpy(dtype=str),
        np.asarray(digests, dtype=str),
    )
