"""Mechanisms of action found by their bare words, while every compound that has one is held out.

The question of a user who has no compound at hand: show me what an HDAC inhibitor looks like. Whole
classes are tested at a time, among compounds that are in no class: nothing that the model learnt
from has the mechanism.
"""

import logging
from collections.abc import Iterator, Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field
from torch import Tensor

from morphoclip.columns import (
    BROAD_SAMPLE,
    ENTITY,
    MOA_LIST,
    MODALITY,
    SUBSET,
    Modality,
    Subset,
)
from morphoclip.config import Config
from morphoclip.errors import InputError
from morphoclip.evaluation.baseline_data import BaselineData
from morphoclip.evaluation.baselines import BASELINES
from morphoclip.evaluation.fold_data import FoldData
from morphoclip.evaluation.humble_inputs import CELL_COUNT, WELL_POSITION
from morphoclip.evaluation.per_perturbation import MODEL_METHOD
from morphoclip.evaluation.perturbation_sets import PerturbationSet, perturbation_set
from morphoclip.evaluation.profiles import embed_with
from morphoclip.metrics.average_precision import expected_average_precision
from morphoclip.metrics.bootstrap import Bootstrap, compare_means
from morphoclip.metrics.matrix import Matrix
from morphoclip.metrics.ranking import DECIMALS, rank_candidates
from morphoclip.metrics.retrieval import consensus_profiles
from morphoclip.models.embedding import embed_text
from morphoclip.models.trained import TrainedModel
from morphoclip.perturbations.genes import entries_of
from morphoclip.schemas.evaluation import ZERO_SHOT_SUMMARY
from morphoclip.splits.config import SplitConfig
from morphoclip.splits.inner_folds import with_validation_joined
from morphoclip.splits.manifest import assign_subsets
from morphoclip.splits.strategies.base import digest_of

logger = logging.getLogger(__name__)

_BESIDE = (
    "kernel_ridge",
    "two_way_kernel_ridge",
    "kernel_cca",
    "permuted_text",
    WELL_POSITION,
    CELL_COUNT,
)
_FIRST = 5
_VALIDATION_SHARE = 10


class ZeroShotConfig(Config):
    """``params:zero_shot``."""

    fewest: int = Field(
        3, ge=2, le=10_000, description="Compounds that a mechanism needs to be asked for."
    )
    folds: int = Field(
        6, ge=2, le=1000, description="Trainings; each holds out a part of the mechanisms."
    )


class HeldOutMechanisms(NamedTuple):
    """A split in which every compound of some mechanisms is tested, beside compounds of none."""

    mechanisms: list[str]
    manifest: pd.DataFrame


def held_out_mechanisms(
    data: FoldData, splitting: SplitConfig, config: ZeroShotConfig
) -> Iterator[HeldOutMechanisms]:
    """The split of each fold. Wells that `splitting` leaves out are left out.

    Raises:
        InputError: Fewer mechanisms than folds have enough compounds.
    """
    own = {"strategy": "pert_type", "folds": None, "fold": None, "hold_out_mechanisms": False}
    plain = splitting.model_copy(update=own)
    manifest = assign_subsets(data.well_index, plain)
    used = manifest[SUBSET] != Subset.EXCLUDED
    of_entity = mechanisms_of_entities(manifest[used], data.perturbations)
    counts = of_entity.explode().value_counts()
    asked = sorted(counts.index[counts >= config.fewest], key=lambda name: _place(plain, name))
    if len(asked) < config.folds:
        raise InputError(
            f"{len(asked)} mechanism(s) of action have {config.fewest} compounds or more, and "
            f"zero_shot.folds is {config.folds}: name a table of mechanisms "
            "(ingestion.source.annotations, or the column mechanism of your own), or lower "
            "zero_shot.folds or zero_shot.fewest"
        )
    in_a_class = of_entity[of_entity.map(lambda names: bool(set(names) & set(asked)))]
    others = sorted(set(of_entity.index) - set(in_a_class.index), key=lambda e: _place(plain, e))
    for fold in range(config.folds):
        mechanisms = asked[fold :: config.folds]
        classes = in_a_class.index[in_a_class.map(lambda n, m=set(mechanisms): bool(set(n) & m))]
        tested = set(classes) | set(others[fold :: config.folds])
        rest = sorted(set(manifest.loc[used, ENTITY]) - tested, key=lambda e: _place(plain, e))
        subset_of = dict.fromkeys(rest, str(Subset.TRAIN))
        subset_of |= dict.fromkeys(rest[::_VALIDATION_SHARE], str(Subset.VALIDATION))
        subset_of |= dict.fromkeys(tested, str(Subset.TEST))
        subsets = manifest[ENTITY].map(subset_of).where(used, str(Subset.EXCLUDED))
        yield HeldOutMechanisms(mechanisms, manifest.assign(**{SUBSET: subsets}))


def _place(config: SplitConfig, name: str) -> str:
    return digest_of(config.seed, name)


def mechanisms_of_entities(wells: pd.DataFrame, perturbations: pd.DataFrame) -> pd.Series:
    """Mechanisms of each compound, as tuples, by its entity."""
    compounds = wells[wells[MODALITY] == Modality.COMPOUND]
    keys = [MODALITY, BROAD_SAMPLE]
    facts = compounds[[*keys, ENTITY]].drop_duplicates()
    listed = facts.merge(perturbations[[*keys, MOA_LIST]], on=keys, how="left")
    return entries_of(listed.drop_duplicates(ENTITY).set_index(ENTITY)[MOA_LIST])


def rank_by_words(
    held_out: HeldOutMechanisms,
    data: FoldData,
    trained: TrainedModel,
    words: Tensor,
    *,
    batch_size: int,
    device: str,
    seed: int,
) -> pd.DataFrame:
    """How high each mechanism's compounds come, by the model and by simpler methods.

    Args:
        held_out: Mechanisms, M of them, and the split.
        data: Wells and metadata.
        trained: A model trained on the split.
        words: Text features of the mechanisms' names, ``(M, D_text)``.
        batch_size: Wells embedded at a time.
        device: Where.
        seed: Of baselines that draw.
    """
    joined = with_validation_joined(held_out.manifest)
    train, test = (
        perturbation_set(
            data.wells,
            joined,
            subset,
            data.perturbations,
            data.prompts,
            data.others,
            every=subset == Subset.TEST,
        )
        for subset in (Subset.TRAIN, Subset.TEST)
    )
    chosen = data.wells.select(data.wells.rows_of_subset(held_out.manifest, Subset.TEST))
    embedded = embed_with(trained, chosen, batch_size=batch_size, device=device)
    images = consensus_profiles(embedded.image, chosen.prompt_of_well.numpy(), len(chosen.digests))
    scores: dict[str, Matrix] = {
        MODEL_METHOD: images @ embed_text(trained, words).T.astype(np.float64)
    }
    scores |= _by_baselines(train, test, words.double().numpy(), seed)
    tables = [_rows(method, score, test, held_out.mechanisms) for method, score in scores.items()]
    return pd.concat(tables, ignore_index=True)


def _by_baselines(
    train: PerturbationSet, test: PerturbationSet, words: Matrix, seed: int
) -> dict[str, Matrix]:
    """Similarities of the test perturbations to the words, ``(P, M)``; means over draws."""
    asked = replace(test, text=words)
    data = replace(BaselineData.of(train, test), held_out=asked, held_out_text=words)
    found = {name: BASELINES[name](data, np.random.default_rng(seed)) for name in _BESIDE}
    return {name: np.mean(draws, axis=0) for name, draws in found.items() if draws}


def _rows(
    method: str, similarity: Matrix, test: PerturbationSet, mechanisms: Sequence[str]
) -> pd.DataFrame:
    is_compound = test.modality == Modality.COMPOUND
    relevant = np.array([[name in known for known in test.mechanisms] for name in mechanisms])
    relevant = relevant[:, is_compound]
    ranked = np.round(similarity[is_compound].T, DECIMALS)
    n_candidates, n_true = relevant.shape[1], relevant.sum(axis=1)
    gains = rank_candidates(ranked, relevant, n_candidates).gains
    chance = [expected_average_precision(int(n), n_candidates) for n in n_true]
    return pd.DataFrame(
        {
            "method": method,
            "mechanism": list(mechanisms),
            "n_compounds": n_true,
            "n_candidates": n_candidates,
            "average_precision": gains.sum(axis=1) / n_true,
            "average_precision_chance": chance,
            "precision@5": precision_of_first(ranked, relevant),
            "base_rate": n_true / n_candidates,
        }
    )


def precision_of_first(ranked: Matrix, relevant: NDArray[np.bool_]) -> NDArray[np.float64]:
    """Expected share of true ones among the first five; ties share the places that are left."""
    precisions = []
    for scores, true in zip(ranked, relevant, strict=True):
        places = min(_FIRST, len(scores))
        edge = np.sort(scores)[::-1][places - 1]
        above, at = scores > edge, scores == edge
        left = places - above.sum()
        precisions.append((true[above].sum() + left * true[at].mean()) / places)
    return np.array(precisions)


def summarise(rows: pd.DataFrame, bootstrap: Bootstrap) -> pd.DataFrame:
    """Means over mechanisms of each method beside chance, and paired differences to the model.

    Intervals are 95 % bootstrap intervals over mechanisms, each with its mean over seeds.
    """
    summaries = []
    for metric, chance in (
        ("average_precision", "average_precision_chance"),
        ("precision@5", "base_rate"),
    ):
        values = rows.pivot_table(metric, "mechanism", "method")
        compared = compare_means(values, MODEL_METHOD, bootstrap).rename_axis("method")
        lead = {
            "lead_of_model": -compared["difference"],
            "lead_low": -compared["difference_high"],
            "lead_high": -compared["difference_low"],
            "metric": metric,
            "chance": rows.groupby("mechanism")[chance].mean().mean(),
            "n_mechanisms": len(values),
        }
        summaries.append(compared.assign(**lead).reset_index())
    table = pd.concat(summaries)[list(ZERO_SHOT_SUMMARY.columns)]
    return table.sort_values(["metric", "value"], ascending=[True, False], ignore_index=True)
