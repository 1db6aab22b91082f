"""What a training run reads: wells of two subsets, their labels, where they lie."""

from dataclasses import dataclass, replace
from typing import assert_never

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from morphoclip.columns import (
    CONDITION,
    PLATE,
    SUBSET,
    WELL,
    Subset,
)
from morphoclip.losses import PromptAffinity, TargetGenes
from morphoclip.perturbations.genes import genes_of
from morphoclip.plate_correction import reference_wells
from morphoclip.training.config import TrainingConfig
from morphoclip.well_names import well_position
from morphoclip.wells.assemble import Wells
from morphoclip.wells.sites_on_disk import SitesOnDisk


@dataclass(frozen=True)
class TrainingData:
    """Wells and labels; ``wells.sites`` lies where `training.placement` says.

    Attributes:
        wells: All wells.
        train: Rows of the train wells.
        validation: Rows of the validation wells.
        reference: Rows of the wells that plate offsets are measured by.
        affinity: How alike prompts are.
        plates: Code of each well's plate, ``(B,)``.
        plate_rows: Row of each well on its plate, ``(B,)``.
        plate_names: Barcodes by code, Q of them.
        conditions: Code of each plate's condition, ``(Q,)``.
    """

    wells: Wells
    train: Tensor
    validation: Tensor
    reference: Tensor
    affinity: PromptAffinity
    plates: Tensor
    plate_rows: Tensor
    plate_names: tuple[str, ...]
    conditions: Tensor


def training_data(
    wells: Wells, manifest: pd.DataFrame, config: TrainingConfig, device: str
) -> TrainingData:
    """Put wells and labels together and where they are read from.

    Raises:
        InputError: A subset has no wells.
    """
    if belongs_on_device(wells, config, device):
        wells = replace(wells, sites=wells.sites.to(device))
    codes, names = pd.factorize(wells.table[PLATE], sort=True)
    plates = wells.table.drop_duplicates(PLATE).set_index(PLATE).loc[names]
    train = wells.rows_of_subset(manifest, Subset.TRAIN)
    return TrainingData(
        wells=wells,
        train=train,
        validation=_validation_rows(wells, manifest, config),
        reference=_rows_to_align_by(wells, train, config),
        affinity=PromptAffinity(
            genes_of_prompts(wells, config.loss.gene_source), config.loss.target_weight
        ),
        plates=torch.from_numpy(codes.astype(np.int64)).to(device),
        plate_rows=torch.tensor([well_position(well)[0] for well in wells.table[WELL]]),
        plate_names=tuple(names),
        conditions=_codes(plates[CONDITION]).to(device),
    )


def _validation_rows(wells: Wells, manifest: pd.DataFrame, config: TrainingConfig) -> Tensor:
    """Rows of the validation wells; none where they may all have joined the train wells."""
    if config.stopping != "early" and not (manifest[SUBSET] == Subset.VALIDATION).any():
        return torch.empty(0, dtype=torch.int64)
    return _mixed(wells.rows_of_subset(manifest, Subset.VALIDATION))


def _rows_to_align_by(wells: Wells, train: Tensor, config: TrainingConfig) -> Tensor:
    """Rows of the wells that plate offsets are measured by."""
    match config.cwa_reference:
        case "train":
            return train
        case "negcon":
            return wells.rows_where(reference_wells(wells.table))
        case _:
            assert_never(config.cwa_reference)


def _mixed(rows: Tensor) -> Tensor:
    """In an order that mixes plates: a batch of one modality is another task than training."""
    return rows[torch.randperm(len(rows), generator=torch.Generator().manual_seed(0))]


def _codes(values: pd.Series) -> Tensor:
    return torch.from_numpy(pd.factorize(values, sort=True)[0].astype(np.int64))


def belongs_on_device(wells: Wells, config: TrainingConfig, device: str) -> bool:
    """Whether `training.placement` puts the features on the device."""
    if isinstance(wells.sites, SitesOnDisk):
        return False
    match config.placement:
        case "device":
            return True
        case "ram" | "mmap":
            return False
        case "auto":
            if not device.startswith("cuda"):
                return False
            free, _ = torch.cuda.mem_get_info()
            return wells.sites.nbytes < free / 2
        case _:
            assert_never(config.placement)


def genes_of_prompts(wells: Wells, source: TargetGenes) -> list[frozenset[str]]:
    """Genes that each prompt's wells are of: the target, or all that a compound lists."""
    table = wells.table.assign(prompt=wells.prompt_of_well.numpy()).drop_duplicates("prompt")
    match source:
        case "target":
            listed = False
        case "target_list":
            listed = True
        case _:
            assert_never(source)
    genes = genes_of(table.sort_values("prompt"), listed=listed)
    return [frozenset(names) for names in genes]
