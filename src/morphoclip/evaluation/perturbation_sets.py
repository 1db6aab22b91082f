"""Wells of a subset as one row per perturbation: what baselines are fitted on."""

import logging
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from morphoclip.backbones.text import HashedNgrams
from morphoclip.columns import BROAD_SAMPLE, MOA_LIST, MODALITY, PLATE, SMILES, WELL, Subset
from morphoclip.errors import InputError
from morphoclip.metrics.matrix import Matrix
from morphoclip.perturbations.genes import entries_of, genes_of
from morphoclip.perturbations.known_facts import fingerprint_bits
from morphoclip.perturbations.prompts import text_by_digest
from morphoclip.wells.assemble import Wells
from morphoclip.wells.featured import FeaturedWells

logger = logging.getLogger(__name__)

MOST_COMPARED = 4096
_NGRAM_DIM = 768


@dataclass(frozen=True)
class PerturbationSet:
    """Perturbations of one subset, one row each.

    Attributes:
        digests: Digest of each one's prompt, ``(P,)``.
        modality: ``(P,)``.
        image: Image features, ``(P, F)``.
        text: Text features of the prompts' words, ``(P, D_text)``.
        facts: Known facts about them, ``(P, F)``, sources side by side.
        fact_sizes: By source the number of its columns, F together.
        ngrams: Hashed n-grams of the prompts, ``(P, D_ngrams)``; None where they are the text
            features themselves.
        genes: Target genes of each: its own, or a compound's listed targets.
        mechanisms: Mechanisms of action of each; empty where none is known.
        structures: Set bits of each one's Morgan fingerprint; empty where none is known, or where
            rdkit is not installed.
        others: Other inputs by name, ``(P, F')`` each: what a model has to beat.
    """

    digests: NDArray[np.str_]
    modality: NDArray[np.str_]
    image: Matrix
    text: Matrix
    facts: Matrix
    fact_sizes: Mapping[str, int]
    ngrams: Matrix | None
    genes: Sequence[frozenset[str]]
    mechanisms: Sequence[frozenset[str]]
    structures: Sequence[frozenset[int]]
    others: Mapping[str, Matrix] = field(default_factory=dict)

    def select(self, rows: NDArray[np.int64]) -> Self:
        """These perturbations ``(P',)``."""
        return replace(
            self,
            digests=self.digests[rows],
            modality=self.modality[rows],
            image=self.image[rows],
            text=self.text[rows],
            facts=self.facts[rows],
            ngrams=None if self.ngrams is None else self.ngrams[rows],
            genes=[self.genes[row] for row in rows],
            mechanisms=[self.mechanisms[row] for row in rows],
            structures=[self.structures[row] for row in rows],
            others={name: matrix[rows] for name, matrix in self.others.items()},
        )


def compared_prompts(n: int) -> NDArray[np.int64]:
    """Which of a subset's n prompts, by their digests' order, baselines see and are scored on.

    All of them up to 4,096, else as many at equal distances, which a digest makes a random choice:
    kernels of baselines grow with the square, decomposing them with the third power.
    """
    if n <= MOST_COMPARED:
        return np.arange(n)
    logger.info("baselines are compared on %d of %d perturbations", MOST_COMPARED, n)
    return np.linspace(0, n - 1, MOST_COMPARED).round().astype(np.int64)


def perturbation_set(
    wells: Wells,
    manifest: pd.DataFrame,
    subset: Subset,
    perturbations: pd.DataFrame,
    prompts: pd.DataFrame,
    others: Mapping[str, pd.DataFrame] | None = None,
    *,
    every: bool = False,
) -> PerturbationSet:
    """The distinct prompts of a subset, with the mean image features of their sites.

    Channels stand side by side: ``F = C * D``. ``others`` are tables of wells, by plate and well;
    one that lacks a well of the subset is left out. Of very many prompts, `compared_prompts`,
    unless ``every`` one is asked for.

    Raises:
        InputError: The subset has no wells.
    """
    rows = wells.rows_of_subset(manifest, subset)
    if not every:
        of_subset = wells.prompt_of_well[rows].unique()
        kept = of_subset[torch.from_numpy(compared_prompts(len(of_subset)))]
        rows = rows[torch.isin(wells.prompt_of_well[rows], kept)]
    chosen = wells.select(rows)
    facts = chosen.table.assign(prompt=chosen.prompt_of_well.numpy()).merge(
        perturbations[[MODALITY, BROAD_SAMPLE, MOA_LIST, SMILES]],
        on=[MODALITY, BROAD_SAMPLE],
        how="left",
    )
    by_prompt = facts.drop_duplicates("prompt").sort_values("prompt")
    return PerturbationSet(
        digests=np.array(chosen.digests, dtype=str),
        modality=chosen.modality_of_prompts,
        image=chosen.mean_tokens_of_prompts().numpy(),
        text=chosen.text[:, : chosen.text_dim].double().numpy(),
        facts=chosen.text[:, chosen.text_dim :].double().numpy(),
        fact_sizes={source: len(names) for source, names in chosen.fact_names.items()},
        ngrams=_ngrams(chosen, prompts),
        genes=[frozenset(names) for names in genes_of(by_prompt, listed=True)],
        mechanisms=[frozenset(names) for names in entries_of(by_prompt[MOA_LIST])],
        structures=_structures(by_prompt[SMILES]),
        others=_means_by_prompt(chosen, others or {}),
    )


def _structures(smiles: pd.Series) -> list[frozenset[int]]:
    known = list(smiles.dropna().unique())
    try:
        bits = dict(zip(known, fingerprint_bits(known), strict=True))
    except InputError:  # rdkit is optional: there is no row for structures without it
        bits = {}
    return [frozenset(bits.get(one) or ()) for one in smiles]


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
