"""CPJUMP1's representation split: train on genes, validate and test on compounds."""

import pandas as pd

from morphoclip.columns import (
    MODALITY,
    SUBSET,
    TIMEPOINT,
    Modality,
    Subset,
)
from morphoclip.errors import InputError, example_of
from morphoclip.splits.fields import SplitSettings
from morphoclip.splits.strategies.base import (
    FIXED_BY_METADATA,
    SplitStrategy,
    require_conditions,
    unassigned,
)

_NAME = "cpjump1_official_representation"
_TYPE, _CODE = "Metadata_experiment_type", "Metadata_timepoint_code"


def _assign(
    wells: pd.DataFrame,
    config: SplitSettings,
    everything: pd.DataFrame,
) -> pd.DataFrame:
    """Genetic wells train, compounds at the shorter time validate, at the longer time test.

    CPJUMP1's representation-learning split. By design validation and test hold the same compounds,
    and no compound is in train: it asks for transfer to a modality that was never seen.

    Raises:
        InputError: Times are unknown, or compounds have not two of them.
    """
    require_conditions(wells, _NAME)
    compounds = wells[wells[MODALITY] == Modality.COMPOUND]
    times = sorted(compounds[TIMEPOINT].astype(float).unique())
    if len(times) != 2:
        raise InputError(
            f"{_NAME} needs compounds at two times, and there are "
            f"{len(times)}: {example_of([f'{time:g} h' for time in times]) or 'none'}; take plates "
            "of both in ingestion.plates"
        )
    assigned = unassigned(wells)
    assigned[SUBSET] = str(Subset.TRAIN)
    late = compounds[TIMEPOINT].astype(float) == times[1]
    assigned.loc[compounds.index, SUBSET] = late.map(
        {False: str(Subset.VALIDATION), True: str(Subset.TEST)}
    )
    return assigned


def _official(table: pd.DataFrame) -> pd.Series:
    by_code = table[_CODE].map({"low": str(Subset.VALIDATION), "high": str(Subset.TEST)})
    return by_code.where(table[_TYPE] == "Compound", str(Subset.TRAIN))


OFFICIAL_REPRESENTATION = SplitStrategy(
    name=_NAME,
    assign=_assign,
    ignored=FIXED_BY_METADATA,
    kept_apart=frozenset({"well", "plate"}),
    official=_official,
    official_columns=frozenset({_TYPE, _CODE}),
)
