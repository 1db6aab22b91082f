"""One row per held-out perturbation: where each method ranks its text.

Rows of several methods on the same perturbations can be compared pair by pair, and intervals are
taken over perturbations: they, not wells, are what a sample is of.
"""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morphoclip.columns import MODALITY, PROMPT_DIGEST, Subset
from morphoclip.evaluation.baseline_data import BaselineData
from morphoclip.evaluation.baselines import baseline_similarities
from morphoclip.evaluation.perturbation_sets import compared_prompts, perturbation_set
from morphoclip.evaluation.profiles import SubsetEmbeddings, embed_with, subset_embeddings
from morphoclip.metrics.chance import chance_metrics
from morphoclip.metrics.matrix import Matrix
from morphoclip.metrics.query_metrics import Block, Side, measured_queries, query_metrics
from morphoclip.metrics.ranking import DECIMALS
from morphoclip.metrics.retrieval import consensus_profiles
from morphoclip.models.trained import TrainedModel
from morphoclip.schemas.evaluation import PER_PERTURBATION_RETRIEVAL
from morphoclip.splits.inner_folds import with_validation_joined
from morphoclip.wells.assemble import Wells

METRICS = ("mrr", "recall@1", "recall@5")
MODEL_METHOD = "model"
"""What the trained model is called beside the baselines."""


def retrieval_rows(
    similarity: Matrix, digests: NDArray[np.str_], modality: NDArray[np.str_], method: str
) -> pd.DataFrame:
    """Retrieval of each perturbation among those of its modality, in both directions.

    Args:
        similarity: Of perturbation i to text j, ``(P, P)``.
        digests: Digest of each prompt, ``(P,)``.
        modality: Modality of each, ``(P,)``.
        method: A name for what ranked the texts.
    """
    parts = []
    for name in np.unique(modality):
        rows = np.flatnonzero(modality == name)
        rounded = np.round(similarity[np.ix_(rows, rows)], DECIMALS)
        for direction, ranked in (("image_to_text", rounded), ("text_to_image", rounded.T)):
            measured = query_metrics(Block(ranked, np.eye(len(rows), dtype=bool)))
            parts.append(_described(measured, digests[rows], name, direction))
    return _of_method(parts, method)


def rows_of_embeddings(found: SubsetEmbeddings) -> pd.DataFrame:
    """The same of the model's embeddings, on the perturbations that baselines are compared on."""
    kept = compared_prompts(len(found.text))
    if len(kept) < len(found.text):
        number = np.full(len(found.text), -1)
        number[kept] = np.arange(len(kept))
        is_kept = np.isin(found.prompt_of_well, kept)
        found = SubsetEmbeddings(
            found.image[is_kept],
            number[found.prompt_of_well[is_kept]],
            found.text[kept],
            found.modality[kept],
            found.digests[kept],
        )
    consensus = consensus_profiles(found.image, found.prompt_of_well, len(found.text))
    own = np.arange(len(found.text))
    image, text = Side(consensus, own, found.modality), Side(found.text, own, found.modality)
    within = {
        "image_to_text": measured_queries(image, text).within_modality,
        "text_to_image": measured_queries(text, image).within_modality,
    }
    parts = []
    for name in np.unique(found.modality):
        rows = np.flatnonzero(found.modality == name)
        for direction, measured in within.items():
            parts.append(_described(measured.loc[rows], found.digests[rows], name, direction))
    return _of_method(parts, MODEL_METHOD)


def _described(
    measured: pd.DataFrame, digests: NDArray[np.str_], modality: str, direction: str
) -> pd.DataFrame:
    """Metrics of the perturbations of one modality, beside chance."""
    chance = chance_metrics(len(digests), 1)
    return measured[list(METRICS)].assign(
        **{PROMPT_DIGEST: digests, MODALITY: modality, "n_candidates": len(digests)},
        **{f"{metric}_chance": chance[metric] for metric in METRICS},
        direction=direction,
    )


def _of_method(parts: list[pd.DataFrame], method: str) -> pd.DataFrame:
    table = pd.concat(parts, ignore_index=True).assign(method=method, split_seed=0, fold=0, seed=0)
    return table[list(PER_PERTURBATION_RETRIEVAL.columns)]


def rows_of_profiles(
    profiles: pd.DataFrame, prompt_embeddings: pd.DataFrame, subset: Subset
) -> pd.DataFrame:
    """The model's rows on a subset, from tables of profiles."""
    return rows_of_embeddings(subset_embeddings(profiles, prompt_embeddings, subset))


def rows_of_model(
    trained: TrainedModel, wells: Wells, manifest: pd.DataFrame, *, batch_size: int, device: str
) -> pd.DataFrame:
    """The model's rows on the test subset, from its wells."""
    test = wells.select(wells.rows_of_subset(manifest, Subset.TEST))
    embedded = embed_with(trained, test, batch_size=batch_size, device=device)
    return rows_of_embeddings(
        SubsetEmbeddings(
            embedded.image,
            test.prompt_of_well.numpy(),
            embedded.text,
            test.modality_of_prompts,
            np.array(test.digests),
        )
    )


def rows_of_parts(
    trained: TrainedModel, wells: Wells, manifest: pd.DataFrame, *, batch_size: int, device: str
) -> pd.DataFrame:
    """The model's rows, and where it has a closed form those of its towers and of that alone."""
    parts = {MODEL_METHOD: trained}
    if trained.closed_form is not None:
        parts["model_towers"] = replace(trained, closed_form=None)
        parts["model_closed_form"] = replace(trained, members=())
    tables = [
        rows_of_model(part, wells, manifest, batch_size=batch_size, device=device).assign(
            method=name
        )
        for name, part in parts.items()
    ]
    return pd.concat(tables, ignore_index=True)


def rows_of_baselines(
    wells: Wells,
    manifest: pd.DataFrame,
    perturbations: pd.DataFrame,
    prompts: pd.DataFrame,
    others: Mapping[str, pd.DataFrame] | None = None,
    *,
    seed: int,
) -> pd.DataFrame:
    """The baselines' rows on the test subset, fitted on train and validation wells together.

    They have nothing to stop by; what strength they need they choose on folds of these wells.
    ``others`` are tables of wells that are not the model's input: cell counts and the like.
    """
    joined = with_validation_joined(manifest)
    train, test = (
        perturbation_set(wells, joined, subset, perturbations, prompts, others)
        for subset in (Subset.TRAIN, Subset.TEST)
    )
    parts = []
    for name, draws in baseline_similarities(BaselineData.of(train, test), seed=seed).items():
        rows = [retrieval_rows(drawn, test.digests, test.modality, name) for drawn in draws]
        parts.append(_mean_of_draws(rows))
    return pd.concat(parts, ignore_index=True)


def mean_of_directions(rows: pd.DataFrame) -> pd.DataFrame:
    """Rows of one method with the mean of both directions of each perturbation."""
    means = rows.groupby(PROMPT_DIGEST)[list(METRICS)].mean()
    first = rows.drop_duplicates(PROMPT_DIGEST).drop(columns="direction")
    return first.assign(**means.loc[first[PROMPT_DIGEST]].reset_index(drop=True).to_dict("list"))


def _mean_of_draws(rows: list[pd.DataFrame]) -> pd.DataFrame:
    keys = ["direction", PROMPT_DIGEST]
    mean = pd.concat(rows).groupby(keys, sort=False)[list(METRICS)].mean()
    return rows[0].assign(**{name: mean[name].to_numpy() for name in METRICS})
