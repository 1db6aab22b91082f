"""Wells of a subset as one row a perturbation: what baselines read."""

import numpy as np
import pandas as pd
import torch

from morphoclip.backbones.text import HashedNgrams
from morphoclip.metrics.baselines import PerturbationSet
from morphoclip.perturbations.tables import entries_of, genes_of
from morphoclip.schemas import (
    BROAD_SAMPLE,
    MOA_LIST,
    MODALITY,
    PLATE,
    PROMPT,
    PROMPT_DIGEST,
    WELL,
    Subset,
)
from morphoclip.wells.assemble import Wells

_NGRAM_DIM = 768


def perturbation_set(
    wells: Wells,
    manifest: pd.DataFrame,
    subset: Subset,
    perturbations: pd.DataFrame,
    prompts: pd.DataFrame,
) -> PerturbationSet:
    """The distinct prompts of a subset, with the mean image features of their wells.

    Channels stand side by side: ``F = C * D``.

    Raises:
        InputError: The subset has no wells.
    """
    own = wells.select(wells.rows_of_subset(manifest, subset))
    image = torch.zeros(len(own.digests), own.sites.tokens[0].numel(), dtype=torch.float64)
    site_prompts = own.prompts.repeat_interleave(own.sites.n_sites)
    image.index_add_(0, site_prompts, own.sites.tokens.flatten(1).double())
    image /= torch.bincount(site_prompts).unsqueeze(1)
    said = prompts.drop_duplicates(PROMPT_DIGEST).set_index(PROMPT_DIGEST)[PROMPT]
    facts = own.table.assign(prompt=own.prompts.numpy()).merge(
        perturbations[[MODALITY, BROAD_SAMPLE, MOA_LIST]], on=[MODALITY, BROAD_SAMPLE], how="left"
    )
    by_prompt = facts.drop_duplicates("prompt").sort_values("prompt")
    words = [str(said[digest]) for digest in own.digests]
    return PerturbationSet(
        digests=np.array(own.digests, dtype=str),
        modality=own.modality_of_prompts,
        image=image.numpy(),
        text=own.text.double().numpy(),
        ngrams=HashedNgrams(_NGRAM_DIM).encode(words).double().numpy(),
        genes=[frozenset(names) for names in genes_of(by_prompt, listed=True)],
        mechanisms=[frozenset(names) for names in entries_of(by_prompt[MOA_LIST])],
    )


def mean_features(wells: Wells) -> pd.DataFrame:
    """Mean over sites of each well's normalised tokens, channels side by side: ``(B, C * D)``.

    What profiles look like without any training; indexed by plate and well.
    """
    tokens = wells.sites.tokens.flatten(1)
    sums = torch.zeros(len(wells.table), tokens.shape[1])
    well = torch.arange(len(wells.table)).repeat_interleave(wells.sites.n_sites)
    sums.index_add_(0, well, tokens.float())
    means = (sums / wells.sites.n_sites.unsqueeze(1)).numpy()
    return pd.DataFrame(means, index=pd.MultiIndex.from_frame(wells.table[[PLATE, WELL]]))
