"""How wells are divided: functions of the well index, and one table of them.

Groups are put in order by a digest, never by ``hash()``: the SHA-256 of ``"{seed}:{group}"``. The
same rows give the same manifest on every machine and in any order.
"""

import hashlib
from collections.abc import Callable
from enum import StrEnum
from typing import Any, Literal, Self

import numpy as np
import pandas as pd
from pydantic import Field, model_validator
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from morphoclip.config import Config, Names
from morphoclip.errors import InputError, example_of
from morphoclip.schemas import (
    BROAD_SAMPLE,
    ENTITY,
    FOLD,
    GENE,
    MODALITY,
    PLATE,
    REASON,
    ROLE,
    SPLIT_MANIFEST,
    SUBSET,
    WELL,
    Role,
    Subset,
)


class Strategy(StrEnum):
    """What a split holds out; each value names a function of this module."""

    PERT_TYPE = "pert_type"


class SplitConfig(Config):
    """``params:splitting``."""

    strategy: Strategy = Strategy.PERT_TYPE
    group_by: Literal["broad_sample", "entity", "gene"] = "entity"
    assignment: Literal["quota", "hash"] = "quota"
    val_fraction: float = Field(0.1, gt=0, lt=0.5)
    test_fraction: float = Field(0.1, gt=0, lt=0.5)
    seed: int = Field(42, description="Mixed into the digest; changing it moves groups.")
    exclude_controls: bool = Field(True, description="Leave negative controls and empty wells out.")
    exclude_roles: Names = Field((), description="Roles to leave out besides.")
    folds: int | None = Field(None, ge=3, description="Parts; part `fold` is the test subset.")
    fold: int | None = Field(None, ge=0)

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self) -> Self:
        if self.val_fraction + self.test_fraction > 0.6:
            raise ValueError("val_fraction + test_fraction leave under 40 % to train on")
        return self

    @model_validator(mode="after")
    def _folds_go_together(self) -> Self:
        if (self.folds is None) != (self.fold is None):
            raise ValueError("folds and fold are given together, or neither")
        if self.folds is not None and self.fold is not None and self.fold >= self.folds:
            raise ValueError(f"fold counts from 0 to {self.folds - 1}")
        if self.folds is not None and self.assignment == "hash":
            raise ValueError("folds need assignment quota")
        return self

    @model_validator(mode="after")
    def _roles_are_known(self) -> Self:
        unknown = set(self.exclude_roles) - {str(role) for role in Role}
        if unknown:
            raise ValueError(f"exclude_roles names {sorted(unknown)}; known are {list(Role)}")
        return self


def assign_subsets(well_index: pd.DataFrame, config: SplitConfig) -> pd.DataFrame:
    """The manifest: every well's subset, and for excluded wells the reason.

    Strategy, parameters and the manifest's SHA-256 are in its ``attrs``.

    Raises:
        InputError: A modality has too few groups to fill three subsets.
    """
    wells = well_index.sort_values([PLATE, WELL], ignore_index=True)
    reasons = _exclusions(wells, config)
    eligible = wells[reasons.isna()]
    manifest = wells[[PLATE, WELL, MODALITY, ROLE, BROAD_SAMPLE, ENTITY, GENE]].copy()
    manifest[SUBSET] = str(Subset.EXCLUDED)
    manifest[REASON] = reasons
    manifest[FOLD] = pd.Series(pd.NA, index=wells.index, dtype="Int64")
    assigned = STRATEGIES[config.strategy](eligible, config)
    manifest.loc[eligible.index, SUBSET] = assigned[SUBSET]
    manifest.loc[eligible.index, FOLD] = assigned[FOLD]
    manifest = manifest[list(SPLIT_MANIFEST.columns)]
    manifest.attrs = {
        "strategy": str(config.strategy),
        "parameters": config.model_dump(mode="json"),
        "sha256": manifest_sha256(manifest),
    }
    return manifest


def manifest_sha256(manifest: pd.DataFrame) -> str:
    """SHA-256 over plate, well and subset of every row, in order of plate and well."""
    rows = manifest.sort_values([PLATE, WELL])[[PLATE, WELL, SUBSET]]
    lines = (",".join(row) for row in rows.itertuples(index=False))
    return hashlib.sha256("\n".join(lines).encode()).hexdigest()


def _exclusions(wells: pd.DataFrame, config: SplitConfig) -> pd.Series:
    """The reason why no subset may hold a well, or NA."""
    left_out = {str(Role.EMPTY), *config.exclude_roles}
    if config.exclude_controls:
        left_out.add(str(Role.NEGCON))
    reasons = wells[ROLE].where(wells[ROLE].isin(left_out)).radd("role ")
    no_images = reasons.isna() & (wells["Metadata_n_sites"] == 0)
    reasons = reasons.mask(no_images, "no complete site")
    if config.group_by == "gene":
        reasons = reasons.mask(reasons.isna() & wells[GENE].isna(), "no gene to group by")
    return reasons


def _pert_type(wells: pd.DataFrame, config: SplitConfig) -> pd.DataFrame:
    """Hold out whole groups of perturbations, in the same fractions within every modality.

    Seen by modality, "all perturbation types are in every subset" (spec, "Split strategy"). With
    ``group_by: gene`` a group spans modalities, so the fractions hold over all of them together.
    """
    group = _groups(wells, config)
    strata = pd.Series("all", index=wells.index) if config.group_by == "gene" else wells[MODALITY]
    assigned = pd.DataFrame({SUBSET: "", FOLD: pd.NA}, index=wells.index)
    for stratum, members in group.groupby(strata):
        names = sorted(members.unique(), key=lambda name: _digest(config.seed, name))
        subset_of, fold_of = _divide(names, str(stratum), config)
        assigned.loc[members.index, SUBSET] = members.map(subset_of)
        assigned.loc[members.index, FOLD] = members.map(fold_of)
    return assigned.astype({FOLD: "Int64"})


def _groups(wells: pd.DataFrame, config: SplitConfig) -> pd.Series:
    """Name of each well's group.

    A gene's group takes in every gene that shares an entity with it: one compound under two IDs
    can have two primary targets. It is named after its first gene.
    """
    if config.group_by != "gene":
        return wells[{"broad_sample": BROAD_SAMPLE, "entity": ENTITY}[config.group_by]]
    gene_codes, genes = pd.factorize(wells[GENE], sort=True)
    entity_codes, entities = pd.factorize(wells[ENTITY], sort=True)
    size = len(genes) + len(entities)
    links = coo_array(
        (np.ones(len(wells)), (gene_codes, len(genes) + entity_codes)), shape=(size, size)
    )
    _, component = connected_components(links, directed=False)
    first_gene = pd.Series(genes).groupby(component[: len(genes)]).first()
    return pd.Series(first_gene.loc[component[gene_codes]].to_numpy(), index=wells.index)


def _divide(
    groups: list[str], stratum: str, config: SplitConfig
) -> tuple[dict[str, str], dict[str, Any]]:
    """Subset and fold of each group; ``groups`` come in order of their digests."""
    if config.assignment == "hash":
        subset_of = {group: _hashed_subset(group, config) for group in groups}
        fold_of: dict[str, Any] = {}
    elif config.folds is not None and config.fold is not None:
        fold_of = {group: place % config.folds for place, group in enumerate(groups)}
        validation = (config.fold + 1) % config.folds
        by_fold = {config.fold: Subset.TEST, validation: Subset.VALIDATION}
        subset_of = {g: str(by_fold.get(fold, Subset.TRAIN)) for g, fold in fold_of.items()}
    else:
        n_validation = _half_up(config.val_fraction * len(groups))
        n_test = _half_up(config.test_fraction * len(groups))
        fold_of = {}
        subset_of = dict.fromkeys(groups, str(Subset.TRAIN))
        subset_of |= dict.fromkeys(groups[:n_validation], str(Subset.VALIDATION))
        subset_of |= dict.fromkeys(groups[n_validation : n_validation + n_test], str(Subset.TEST))
    empty = {Subset.TRAIN, Subset.VALIDATION, Subset.TEST} - set(subset_of.values())
    if empty:
        raise InputError(
            f"{stratum} has {len(groups)} group(s) to split by {config.group_by}, which leaves "
            f"{example_of(sorted(empty))} without any; add plates or change the fractions"
        )
    return subset_of, fold_of


def _digest(seed: int, group: str) -> str:
    return hashlib.sha256(f"{seed}:{group}".encode()).hexdigest()


def _hashed_subset(group: str, config: SplitConfig) -> str:
    """The reference's rule: the first 32 bits of an MD5 as a fraction of their range."""
    first = hashlib.md5(f"{config.seed}:{group}".encode(), usedforsecurity=False).hexdigest()[:8]
    place = int(first, 16) / 0xFFFFFFFF
    if place < config.val_fraction:
        return str(Subset.VALIDATION)
    if place < config.val_fraction + config.test_fraction:
        return str(Subset.TEST)
    return str(Subset.TRAIN)


def _half_up(number: float) -> int:
    return int(number + 0.5)


STRATEGIES: dict[Strategy, Callable[[pd.DataFrame, SplitConfig], pd.DataFrame]] = {
    Strategy.PERT_TYPE: _pert_type,
}


def require_same_manifest(trained_on: str, manifest: pd.DataFrame) -> None:
    """Refuse to evaluate a model on another split than the one it was trained on.

    Raises:
        InputError: The SHA-256 differ.
    """
    given = manifest_sha256(manifest)
    if given != trained_on:
        raise InputError(
            f"the model was trained on split manifest {trained_on[:16]} and this is {given[:16]}: "
            "its test wells may have been trained on; run kedro run --pipeline training on this "
            "split, or load the other with --load-versions=split_manifest:<version>"
        )
