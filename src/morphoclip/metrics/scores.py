"""Retrieval of each subset, from tables of profiles."""

from typing import NamedTuple

import numpy as np
import pandas as pd
from pydantic import Field

from morphoclip.config import Config
from morphoclip.metrics.retrieval import (
    Interval,
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
    dims = embedding_columns(profiles)
    texts = prompt_embeddings.set_index(PROMPT_DIGEST)
    retrieval, permutation = [], []
    for subset in (Subset.VALIDATION, Subset.TEST):
        wells = profiles[profiles[SUBSET] == subset]
        codes, digests = pd.factorize(wells[PROMPT_DIGEST], sort=True)
        modality = wells.groupby(PROMPT_DIGEST)[MODALITY].first().loc[digests].to_numpy(dtype=str)
        matched = (
            wells[dims].to_numpy(),
            codes.astype(np.int64),
            texts.loc[digests, dims].to_numpy(),
            modality,
        )
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
