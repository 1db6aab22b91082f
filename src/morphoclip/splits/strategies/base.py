"""What a split strategy is, and what several of them share.

Groups are put in order by a digest, never by ``hash()``: the SHA-256 of ``"{seed}:{group}"``. The
same rows give the same manifest on every machine and in any order.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import assert_never

import numpy as np
import pandas as pd
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from morphoclip.columns import (
    BROAD_SAMPLE,
    CELL_TYPE,
    ENTITY,
    FOLD,
    GENE,
    REASON,
    SUBSET,
    TIMEPOINT,
    WELL,
    Subset,
)
from morphoclip.errors import InputError
from morphoclip.splits.fields import GroupBy, SplitSettings

Assign = Callable[[pd.DataFrame, SplitSettings, pd.DataFrame], pd.DataFrame]

KEPT_APART_BY_GROUP = {
    "well_position": frozenset({"well"}),
    "broad_sample": frozenset({"well", "broad_sample"}),
    "entity": frozenset({"well", "broad_sample", "entity", "structure", "prompt"}),
    "row": frozenset({"well", "broad_sample", "entity", "structure", "prompt", "row"}),
    "gene": frozenset({"well", "broad_sample", "entity", "structure", "gene", "prompt"}),
}
"""What no two subsets may share when groups of this kind are divided."""


FIXED_BY_METADATA = (
    "group_by", "assignment", "val_fraction", "test_fraction", "seed", "val_from", "plate_mode"
)  # fmt: skip
"""Parameters that change nothing where the metadata alone decide who goes where."""


@dataclass(frozen=True)
class SplitStrategy:
    """A way to divide wells into train, validation and test.

    Attributes:
        name: Its value of `splitting.strategy`.
        assign: Takes the wells that it may divide, the parameters, and all wells of the index;
            returns ``Metadata_subset``, ``Metadata_reason`` (of wells that it leaves out) and
            ``Metadata_fold`` for the former.
        groups: Values of `splitting.group_by` that it knows; empty where it divides plates,
            conditions or genes instead.
        ignored: Parameters that change nothing under it.
        kept_apart: What no two subsets may share; None where `splitting.group_by` decides.
        has_folds: Whether `splitting.folds` works with it.
        official: The subset of each row of CPJUMP1's own table of this split, where there is one.
        official_columns: The columns of that table which ``official`` reads.
    """

    name: str
    assign: Assign
    groups: frozenset[str] = frozenset()
    ignored: tuple[str, ...] = ()
    kept_apart: frozenset[str] | None = None
    has_folds: bool = False
    official: Callable[[pd.DataFrame], pd.Series] | None = None
    official_columns: frozenset[str] = frozenset()


def digest_of(seed: int, group: str) -> str:
    """What groups are put in order by."""
    return hashlib.sha256(f"{seed}:{group}".encode()).hexdigest()


def unassigned(wells: pd.DataFrame) -> pd.DataFrame:
    """No subset, reason or fold yet, one row per well."""
    empty = pd.DataFrame({SUBSET: "", REASON: None, FOLD: pd.NA}, index=wells.index)
    return empty.astype({FOLD: "Int64"})


def require_conditions(wells: pd.DataFrame, strategy: str) -> None:
    """Refuse wells whose cell type or time is unknown.

    Raises:
        InputError: With the file that has them.
    """
    if wells[[CELL_TYPE, TIMEPOINT]].isna().any(axis=None):
        raise InputError(
            f"{strategy} needs cell type and time of every plate: name experiment-metadata.tsv in "
            "ingestion.source.experiment_metadata and run ingestion again"
        )


def group_names(wells: pd.DataFrame, group_by: GroupBy) -> pd.Series:
    """Name of each well's group.

    A gene's group takes in every gene that shares an entity with it: one compound under two IDs
    can have two primary targets. It is named after its first gene.
    """
    match group_by:
        case "broad_sample":
            return wells[BROAD_SAMPLE]
        case "entity":
            return wells[ENTITY]
        case "well_position":
            return wells[WELL]
        case "row":
            return rows_of_wells(wells)
        case "gene":
            return _gene_groups(wells)
        case _:
            assert_never(group_by)


def rows_of_wells(wells: pd.DataFrame) -> pd.Series:
    """The row of each well, such as ``B`` of B07."""
    return wells[WELL].str.extract(r"^([A-Z]+)", expand=False)


def _gene_groups(wells: pd.DataFrame) -> pd.Series:
    """Genes that share an entity, directly or through others, are one group."""
    gene_codes, genes = pd.factorize(wells[GENE], sort=True)
    entity_codes, entities = pd.factorize(wells[ENTITY], sort=True)
    size = len(genes) + len(entities)
    links = coo_array(
        (np.ones(len(wells)), (gene_codes, len(genes) + entity_codes)), shape=(size, size)
    )
    _, component = connected_components(links, directed=False)
    first_gene = pd.Series(genes).groupby(component[: len(genes)]).first()
    return pd.Series(first_gene.loc[component[gene_codes]].to_numpy(), index=wells.index)


def consecutive(names: Sequence[str], n_train: int, n_validation: int) -> dict[str, str]:
    """The first names train, the next validate, the rest test."""
    subsets = [Subset.TRAIN] * n_train + [Subset.VALIDATION] * n_validation
    subsets += [Subset.TEST] * (len(names) - len(subsets))
    return {name: str(subset) for name, subset in zip(names, subsets, strict=True)}


def half_up(number: float) -> int:
    """The nearest integer; halves go up."""
    return int(number + 0.5)
