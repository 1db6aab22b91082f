"""Retrieval of the validation and test subsets, from tables of profiles."""

from typing import NamedTuple

import pandas as pd

from morphoclip.columns import SUBSET, Subset
from morphoclip.evaluation.config import EvaluationConfig
from morphoclip.evaluation.profiles import subset_embeddings
from morphoclip.metrics.retrieval import (
    permutation_test,
    retrieval_table,
    texts_by_modality,
)
from morphoclip.schemas.evaluation import PERMUTATION_TEST, RETRIEVAL_METRICS

FEWEST_PERTURBATIONS = 10
"""With fewer test perturbations retrieval is not told from chance: a perfect ranking of five has
p = 1/120, and a single one is always found."""


class HeldOutRetrieval(NamedTuple):
    """Retrieval beside chance, and against permuted texts."""

    retrieval: pd.DataFrame
    permutation: pd.DataFrame


def held_out_retrieval(
    profiles: pd.DataFrame, prompt_embeddings: pd.DataFrame, config: EvaluationConfig
) -> HeldOutRetrieval:
    """Score validation and test; candidates are the subset's own distinct texts.

    Validation wells that the model was trained on are train wells here, and are not scored.

    Train is not scored: a model that learnt nothing that holds elsewhere still retrieves its own
    training pairs far above chance.
    """
    retrieval, permutation = [], []
    for subset in (Subset.VALIDATION, Subset.TEST):
        if not (profiles[SUBSET] == subset).any():
            continue
        found = subset_embeddings(profiles, prompt_embeddings, subset)
        pairs = (found.image, found.prompt_of_well, found.text, found.modality)
        retrieval.append(retrieval_table(*pairs, config.bootstrap).assign(subset=str(subset)))
        tested = permutation_test(
            texts_by_modality(*pairs), null_size=config.null_size, seed=config.seed
        )
        permutation.append({"subset": str(subset), "scope": "within_modality", **tested})
    return HeldOutRetrieval(
        pd.concat(retrieval, ignore_index=True)[list(RETRIEVAL_METRICS.columns)],
        pd.DataFrame(permutation)[list(PERMUTATION_TEST.columns)],
    )


def headline_metrics(retrieval: pd.DataFrame, subset: Subset = Subset.TEST) -> pd.DataFrame:
    """Perturbation-level image-to-text rows of a subset: the numbers to look at first."""
    return retrieval[
        (retrieval["subset"] == subset)
        & (retrieval["level"] == "perturbation")
        & (retrieval["direction"] == "image_to_text")
    ]
