"""Wells of a subset as one row per perturbation: what baselines are fitted on."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from morphoclip.backbones.text import HashedNgrams
from morphoclip.columns import BROAD_SAMPLE, MOA_LIST, MODALITY, PLATE, WELL, Subset
from morphoclip.metrics.matrix import Matrix
from morphoclip.perturbations.genes import entries_of, genes_of
from morphoclip.perturbations.prompts import text_by_digest
from morphoclip.wells.assemble import FeaturedWells, Wells

_NGRAM_DIM = 768


@dataclass(frozen=True)
class PerturbationSet:
    """Perturbations of one subset, one row each.

    Attributes:
        digests: Digest of each one's prompt, ``(P,)``.
        modality: ``(P,)``.
        image: Image features, ``(P, F)``.
        text: Text features of the prompts, ``(P, D_text)``.
        ngrams: Hashed n-grams of the prompts, ``(P, D_ngrams)``; None where they are the text
            features themselves.
        genes: Target genes of each: its own, or a compound's listed targets.
        mechanisms: Mechanisms of action of each; empty where none is known.
        others: Other inputs by name, ``(P, F')`` each: what a model has to beat.
    """

    digests: NDArray[np.str_]
    modality: NDArray[np.str_]
    image: Matrix
    text: Matrix
    ngrams: Matrix | None
    genes: Sequence[frozenset[str]]
    mechanisms: Sequence[frozenset[str]]
    others: Mapping[str, Matrix] = field(default_factory=dict)


def perturbation_set(
    wells: Wells,
    manifest: pd.DataFrame,
    subset: Subset,
    perturbations: pd.DataFrame,
    prompts: pd.DataFrame,
    others: Mapping[str, pd.DataFrame] | None = None,
) -> PerturbationSet:
    """The distinct prompts of a subset, with the mean image features of their sites.

    Channels stand side by side: ``F = C * D``. ``others`` are tables of wells, by plate and well;
    one that lacks a well of the subset is left out.

    Raises:
        InputError: The subset has no wells.
    """
    chosen = wells.select(wells.rows_of_subset(manifest, subset))
    image = torch.zeros(len(chosen.digests), chosen.sites.tokens[0].numel(), dtype=torch.float64)
    prompt_of_site = chosen.prompt_of_well.repeat_interleave(chosen.sites.n_sites)
    image.index_add_(0, prompt_of_site, chosen.sites.tokens.flatten(1).double())
    image /= torch.bincount(prompt_of_site).unsqueeze(1)
    facts = chosen.table.assign(prompt=chosen.prompt_of_well.numpy()).merge(
        perturbations[[MODALITY, BROAD_SAMPLE, MOA_LIST]], on=[MODALITY, BROAD_SAMPLE], how="left"
    )
    by_prompt = facts.drop_duplicates("prompt").sort_values("prompt")
    return PerturbationSet(
        digests=np.array(chosen.digests, dtype=str),
        modality=chosen.modality_of_prompts,
        image=image.numpy(),
        text=chosen.text.double().numpy(),
        ngrams=_ngrams(chosen, prompts),
        genes=[frozenset(names) for names in genes_of(by_prompt, listed=True)],
        mechanisms=[frozenset(names) for names in entries_of(by_prompt[MOA_LIST])],
        others=_means_by_prompt(chosen, others or {}),
    )


def _means_by_prompt(wells: Wells, others: Mapping[str, pd.DataFrame]) -> dict[str, Matrix]:
    keys = pd.MultiIndex.from_frame(wells.table[[PLATE, WELL]])
    means = {}
    for name, table in others.items():
        rows = table.reindex(keys)
        if not rows.isna().any(axis=None):
            means[name] = rows.groupby(wells.prompt_of_well.numpy()).mean().to_numpy(dtype=float)
    return means


def _ngrams(wells: Wells, prompts: pd.DataFrame) -> Matrix | None:
    encoder = HashedNgrams(_NGRAM_DIM)
    if wells.text_fingerprint == encoder.identity:
        return None
    texts = text_by_digest(prompts).loc[list(wells.digests)]
    return encoder.encode(list(texts)).double().numpy()


def mean_features(wells: Wells) -> pd.DataFrame:
    """Mean over sites of each well's normalised tokens, channels side by side: ``(B, C * D)``."""
    return FeaturedWells(wells.table, wells.sites, wells.image_fingerprint).mean_features()
