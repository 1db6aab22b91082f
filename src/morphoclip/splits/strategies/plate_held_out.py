"""Hold out whole plates, or whole conditions."""

from typing import assert_never

import pandas as pd

from morphoclip.columns import (
    CONDITION,
    MODALITY,
    PLATE,
    SUBSET,
    Subset,
)
from morphoclip.errors import InputError
from morphoclip.splits.fields import SplitSettings
from morphoclip.splits.strategies.base import (
    SplitStrategy,
    consecutive,
    digest_of,
    unassigned,
)

_NAME = "plate_held_out"


def _assign(
    wells: pd.DataFrame,
    config: SplitSettings,
    everything: pd.DataFrame,
) -> pd.DataFrame:
    """Whole plates: one of each condition tests and one validates, or whole conditions do.

    Perturbations are in every subset by design. Of two plates (or conditions) one trains and one
    tests; one alone trains.

    Raises:
        InputError: No condition has a second plate, or no modality a second condition.
    """
    plates = wells.drop_duplicates(PLATE).set_index(PLATE)
    condition = plates[CONDITION]
    replicate = _is_replicate(config)
    unit = pd.Series(plates.index, plates.index) if replicate else condition
    subset_of: dict[str, str] = {}
    for _, units in unit.groupby(condition if replicate else plates[MODALITY]):
        names = sorted(units.unique(), key=lambda name: digest_of(config.seed, name))
        n_test, n_validation = int(len(names) >= 2), int(len(names) >= 3)
        held = consecutive(names[::-1], len(names) - n_test - n_validation, n_validation)
        subset_of |= {plate: held[name] for plate, name in units.items()}
    if Subset.TEST not in subset_of.values():
        raise InputError(
            f"plate_held_out finds no {'condition with two plates' if replicate else 'modality'} "
            f"{'' if replicate else 'with two conditions '}among {len(plates)} plate(s); add "
            "plates, or experiment metadata that tell conditions apart"
        )
    assigned = unassigned(wells)
    assigned[SUBSET] = wells[PLATE].map(subset_of)
    return assigned


def _is_replicate(config: SplitSettings) -> bool:
    """Whether plates of a condition are held out, rather than conditions."""
    match config.plate_mode:
        case "replicate":
            return True
        case "condition":
            return False
        case _:
            assert_never(config.plate_mode)


PLATE_HELD_OUT = SplitStrategy(
    name=_NAME,
    assign=_assign,
    ignored=("group_by", "assignment", "val_fraction", "test_fraction", "val_from"),
    kept_apart=frozenset({"well", "plate"}),
)
