"""Plate features, wells and prompts put together: what training and evaluation read."""

import hashlib
import logging
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Self

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from morphoclip.columns import (
    MODALITY,
    N_SITES,
    PLATE,
    PROMPT_DIGEST,
    SUBSET,
    WELL,
    Subset,
)
from morphoclip.errors import InputError
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.features.text_features import TextFeatures
from morphoclip.fingerprint import Fingerprint
from morphoclip.loaders import Loaders
from morphoclip.perturbations.prompts import digests_of
from morphoclip.plate_correction import TokenNormalisation
from morphoclip.wells.ahead import Take, read_ahead
from morphoclip.wells.batch import WellBatch
from morphoclip.wells.featured import Placement, wells_with_features
from morphoclip.wells.sites_on_disk import SitesOnDisk

logger = logging.getLogger(__name__)

_WELLS_AT_ONCE = 512


@dataclass(frozen=True)
class Wells:
    """Wells that have images and a prompt, in the order of ``table``.

    Attributes:
        table: The well index of these wells, with ``Metadata_prompt_digest``.
        sites: Their sites, packed; tokens float16.
        prompt_of_well: Row of ``text`` that describes each well, ``(B,)`` int64.
        text: Of the distinct prompts the words' features and known facts, ``(P, D_text + F)``.
        digests: Digests of those prompts, P of them.
        image_fingerprint: What the tokens were made with.
        text_fingerprint: What the text features were made with.
        fact_names: By source of facts the names of its columns of ``text``; F together.
    """

    table: pd.DataFrame
    sites: WellBatch | SitesOnDisk
    prompt_of_well: Tensor
    text: Tensor
    digests: tuple[str, ...]
    image_fingerprint: Fingerprint
    text_fingerprint: Fingerprint
    fact_names: Mapping[str, tuple[str, ...]] = field(default_factory=dict, kw_only=True)

    @property
    def text_dim(self) -> int:
        """D_text, the columns of ``text`` that words have."""
        return self.text.shape[1] - sum(map(len, self.fact_names.values()))

    @property
    def sha256(self) -> str:
        """Of every well's place, sites and prompts: what a model trained on them has seen."""
        rows = self.table[[PLATE, WELL, N_SITES, PROMPT_DIGEST]].astype(str)
        lines = "\n".join(",".join(row) for row in rows.itertuples(index=False))
        return hashlib.sha256(lines.encode()).hexdigest()

    def rows_where(self, mask: pd.Series) -> Tensor:
        """Row numbers ``(B',)`` where the boolean column holds."""
        return torch.from_numpy(np.flatnonzero(mask.to_numpy()))

    def rows_of_subset(self, manifest: pd.DataFrame, subset: Subset) -> Tensor:
        """Row numbers of a subset's wells.

        Raises:
            InputError: It has none.
        """
        subsets = manifest.set_index([PLATE, WELL])[SUBSET]
        keys = pd.MultiIndex.from_frame(self.table[[PLATE, WELL]])
        rows = self.rows_where(pd.Series(subsets.reindex(keys).to_numpy() == str(subset)))
        if not (manifest[SUBSET] == str(subset)).any():
            raise InputError(
                f"the split has no {subset} wells: splitting.val_from train takes some from train, "
                "and plate_held_out needs a third plate in a condition"
            )
        if len(rows) == 0:
            raise InputError(
                f"no well of the {subset} subset has features: the split manifest and the features "
                "are of different plates; run kedro run --pipeline splitting again"
            )
        return rows

    def batch(self, rows: Tensor, device: str, kept: Tensor | None = None) -> WellBatch:
        """What the model is given of these wells ``(B',)``, on the device.

        ``kept`` ``(S,)`` bool says which of all sites to take; all by default.
        """
        return self.sites.read(rows.to(self.sites.offsets.device), kept).to(device)

    def ahead(self, batches: Sequence[Tensor], kept: Tensor | None = None) -> Iterator[Take]:
        """`batch` of one batch after the other, the next read meanwhile."""
        return read_ahead(self.sites, batches, kept)

    def select(self, rows: Tensor) -> Self:
        """These wells, with the prompts that describe them and no others."""
        used, prompt_of_well = self.prompt_of_well[rows].unique(return_inverse=True)
        return replace(
            self,
            table=self.table.iloc[rows.numpy()].reset_index(drop=True),
            sites=self.sites.select(rows.to(self.sites.offsets.device)),
            prompt_of_well=prompt_of_well,
            text=self.text[used],
            digests=tuple(self.digests[row] for row in used.tolist()),
        )

    def mean_tokens_of_prompts(self) -> Tensor:
        """Mean over the sites of each prompt's wells, channels side by side: ``(P, C * D)``.

        In float64, on the CPU.
        """
        n_prompts, (_, n_channels, dim) = len(self.digests), self.sites.shape
        sums = torch.zeros(n_prompts, n_channels * dim, dtype=torch.float64)
        n_sites = torch.zeros(n_prompts, dtype=torch.int64)
        batches = torch.arange(len(self.table)).split(_WELLS_AT_ONCE)
        for rows, take in zip(batches, self.ahead(batches), strict=True):
            batch = take(rows, "cpu")
            prompts = self.prompt_of_well[rows].repeat_interleave(batch.n_sites)
            sums.index_add_(0, prompts, batch.tokens.flatten(1).double())
            n_sites += torch.bincount(prompts, minlength=n_prompts)
        return sums / n_sites.unsqueeze(1)

    @property
    def modality_of_prompts(self) -> NDArray[np.str_]:
        """Modality of the wells of each prompt, ``(P,)``."""
        table = self.table.assign(prompt=self.prompt_of_well.numpy())
        return table.groupby("prompt")[MODALITY].first().sort_index().to_numpy(dtype=str)


def assemble_wells(
    plate_features: Loaders[PlateFeatures],
    well_index: pd.DataFrame,
    prompts: pd.DataFrame,
    text_features: TextFeatures,
    normalisation: TokenNormalisation,
    placement: Placement = "auto",
) -> Wells:
    """Read the plates' features, normalise them per plate, and join wells with their prompts.

    Args:
        plate_features: Barcode -> a function that loads the plate.
        well_index: The wells; those without sites or without a perturbation are left out.
        prompts: The prompt of each perturbation.
        text_features: Features of those prompts.
        normalisation: `model.token_normalisation`.
        placement: Where tokens lie; ``auto`` is in memory unless they would fill half of it.

    Raises:
        InputError: A plate has no features, plates were made differently, or their files cannot be
            read in parts.
    """
    table, sites, fingerprint = wells_with_features(
        plate_features, well_index, normalisation, placement
    )
    table[PROMPT_DIGEST] = digests_of(table, prompts)
    described = table[PROMPT_DIGEST].notna()
    codes, digests = pd.factorize(table.loc[described, PROMPT_DIGEST], sort=True)
    rows = torch.from_numpy(np.flatnonzero(described.to_numpy()))
    logger.info(
        "%d wells of %d plates with %d sites; %d wells without sites and %d without a perturbation "
        "are left out",
        len(rows),
        table[PLATE].nunique(),
        sites.shape[0],
        len(well_index) - len(table),
        len(table) - len(rows),
    )
    if isinstance(sites, SitesOnDisk):
        logger.info(
            "%.1f GB of features stay in their files and are read as they are needed",
            sites.nbytes / 1e9,
        )
    return Wells(
        table=table[described].reset_index(drop=True),
        sites=sites if described.all() else sites.select(rows),
        prompt_of_well=torch.from_numpy(codes.astype(np.int64)),
        text=text_features.lookup(list(digests)),
        digests=tuple(digests),
        image_fingerprint=fingerprint,
        text_fingerprint=dict(text_features.fingerprint),
        fact_names=text_features.fact_names,
    )
