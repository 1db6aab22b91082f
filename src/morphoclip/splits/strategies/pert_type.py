"""Hold out whole groups of perturbations within each modality (spec, "Split strategy")."""

import hashlib
from typing import Any, assert_never

import pandas as pd

from morphoclip.columns import (
    FOLD,
    MODALITY,
    SUBSET,
    Subset,
)
from morphoclip.errors import InputError, example_of
from morphoclip.splits.fields import SplitSettings
from morphoclip.splits.strategies.base import (
    SplitStrategy,
    digest_of,
    group_names,
    half_up,
    unassigned,
)

_NAME = "pert_type"


def _assign(
    wells: pd.DataFrame,
    config: SplitSettings,
    everything: pd.DataFrame,
) -> pd.DataFrame:
    """Hold out whole groups of perturbations, in the same fractions within every modality.

    Seen by modality, "all perturbation types are in every subset" (spec, "Split strategy"). With
    ``group_by: gene`` a group spans modalities, so the fractions hold over all of them together.
    """
    if config.folds is not None and config.fold is None:
        raise InputError(
            f"splitting.folds is {config.folds} and no splitting.fold says which one is tested: "
            "give it, or test all of them with kedro run --pipeline cross_validation"
        )
    group = group_names(wells, config.group_by)
    strata = pd.Series("all", index=wells.index) if config.group_by == "gene" else wells[MODALITY]
    assigned = unassigned(wells)
    for stratum, members in group.groupby(strata):
        names = sorted(members.unique(), key=lambda name: digest_of(config.seed, name))
        subset_of, fold_of = _divide(names, str(stratum), config)
        assigned.loc[members.index, SUBSET] = members.map(subset_of)
        assigned.loc[members.index, FOLD] = members.map(fold_of)
    return assigned.astype({FOLD: "Int64"})


def _divide(
    groups: list[str], stratum: str, config: SplitSettings
) -> tuple[dict[str, str], dict[str, Any]]:
    """Subset and fold of each group; ``groups`` come in order of their digests."""
    fold_of: dict[str, Any] = {}
    match config.assignment:
        case "hash":
            subset_of = {group: _hashed_subset(group, config) for group in groups}
        case "quota" if config.folds is not None and config.fold is not None:
            fold_of = {group: position % config.folds for position, group in enumerate(groups)}
            validation = (config.fold + 1) % config.folds
            by_fold = {config.fold: Subset.TEST, validation: Subset.VALIDATION}
            subset_of = {g: str(by_fold.get(fold, Subset.TRAIN)) for g, fold in fold_of.items()}
        case "quota":
            n_validation = half_up(config.val_fraction * len(groups))
            n_test = half_up(config.test_fraction * len(groups))
            last = n_validation + n_test
            subset_of = dict.fromkeys(groups, str(Subset.TRAIN))
            subset_of |= dict.fromkeys(groups[:n_validation], str(Subset.VALIDATION))
            subset_of |= dict.fromkeys(groups[n_validation:last], str(Subset.TEST))
        case _:
            assert_never(config.assignment)
    empty = {Subset.TRAIN, Subset.VALIDATION, Subset.TEST} - set(subset_of.values())
    if empty:
        raise InputError(
            f"{stratum} has {len(groups)} group(s) to split by {config.group_by}, which leaves "
            f"{example_of(sorted(empty))} without any; add plates or change the fractions"
        )
    return subset_of, fold_of


def _hashed_subset(group: str, config: SplitSettings) -> str:
    """The reference's rule: the first 32 bits of an MD5 as a fraction of their range."""
    first = hashlib.md5(f"{config.seed}:{group}".encode(), usedforsecurity=False).hexdigest()[:8]
    place = int(first, 16) / 0xFFFFFFFF
    if place < config.val_fraction:
        return str(Subset.VALIDATION)
    if place < config.val_fraction + config.test_fraction:
        return str(Subset.TEST)
    return str(Subset.TRAIN)


PERT_TYPE = SplitStrategy(
    name=_NAME,
    assign=_assign,
    groups=frozenset({"broad_sample", "entity", "gene", "row"}),
    ignored=("val_from", "plate_mode", "standard_plates"),
    has_folds=True,
)
