"""CellCLIP's cut: the first three quarters of each modality's sorted groups train."""

from typing import assert_never

import pandas as pd

from morphoclip.columns import (
    BROAD_SAMPLE,
    MODALITY,
    SUBSET,
    Subset,
)
from morphoclip.splits.fields import SplitSettings
from morphoclip.splits.strategies.base import (
    SplitStrategy,
    consecutive,
    digest_of,
    group_names,
    half_up,
    require_conditions,
    unassigned,
)

_NAME = "cellclip_cpjump_style"
_TRAIN = 0.75


def _assign(
    wells: pd.DataFrame,
    config: SplitSettings,
    everything: pd.DataFrame,
) -> pd.DataFrame:
    """In each modality the first three quarters of the sorted groups train, the others test.

    After CellCLIP's ``cpjump`` split, which cuts each slice of cell type and time; on CPJUMP1 all
    slices hold the same groups, and one cut for all keeps it so where a well lacks images.
    ``group_by: broad_sample`` is the written rule, ``entity`` keeps sister guides and a compound's
    names together (groups sorted by their first ID), ``well_position`` is what its code does, which
    lets a perturbation of two wells straddle.
    Validation groups are taken from train, by digest.

    Raises:
        InputError: Cell type or time are unknown.
    """
    require_conditions(wells, _NAME)
    group = group_names(wells, config.group_by)
    by_position = config.group_by == "well_position"
    first = group if by_position else wells.groupby(group)[BROAD_SAMPLE].transform("min")
    assigned = unassigned(wells)
    for _, rows in wells.groupby(MODALITY):
        names = list(group[rows.index].iloc[first[rows.index].argsort(kind="stable")].unique())
        subset_of = consecutive(names, int(_TRAIN * len(names)), 0)
        assigned.loc[rows.index, SUBSET] = group[rows.index].map(subset_of)
    match config.val_from:
        case "none":
            return assigned
        case "train":
            train = assigned[SUBSET] == Subset.TRAIN
            for _, members in group[train].groupby(wells.loc[train, MODALITY]):
                names = sorted(members.unique(), key=lambda name: digest_of(config.seed, name))
                chosen = names[: half_up(config.val_fraction * len(names))]
                assigned.loc[members.index[members.isin(chosen)], SUBSET] = str(Subset.VALIDATION)
            return assigned
        case _:
            assert_never(config.val_from)


CELLCLIP_STYLE = SplitStrategy(
    name=_NAME,
    assign=_assign,
    groups=frozenset({"broad_sample", "entity", "well_position"}),
    ignored=("assignment", "test_fraction", "plate_mode"),
)
