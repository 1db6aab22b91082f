"""A split made elsewhere, as a manifest."""

import logging
from typing import Literal

import pandas as pd
from pydantic import Field

from morphoclip.columns import ROLE, SUBSET, Role, Subset
from morphoclip.config import Config
from morphoclip.errors import InputError, example_of
from morphoclip.perturbations.well_index import join_well_index

_FILE = "the split file"
_CONTROLS = (str(Role.NEGCON), str(Role.EMPTY))

logger = logging.getLogger(__name__)

_WORDS = {
    "train": Subset.TRAIN,
    "training": Subset.TRAIN,
    "val": Subset.VALIDATION,
    "valid": Subset.VALIDATION,
    "validate": Subset.VALIDATION,
    "validation": Subset.VALIDATION,
    "dev": Subset.VALIDATION,
    "test": Subset.TEST,
    "excluded": Subset.EXCLUDED,
    "": Subset.EXCLUDED,
}


class CheckSplitConfig(Config):
    """``params:check_split``."""

    path: str | None = Field(None, description="CSV, TSV or Parquet with plates and wells.")
    column: str = Field(SUBSET, description="The column that says train, validation or test.")
    group_by: Literal["broad_sample", "entity", "gene"] = Field(
        "entity", description="What no two subsets may share."
    )


def manifest_of(
    table: pd.DataFrame | None, wells: pd.DataFrame, config: CheckSplitConfig
) -> pd.DataFrame:
    """The rows of the file with what was done to each well; controls and empty wells excluded.

    Raises:
        InputError: There is no file, a column is missing, a well is listed twice or is in no well
            index, a subset is called by an unknown word, or there are fewer than two subsets.
    """
    if table is None:
        raise InputError("check_split.path names no file: --params check_split.path:my_split.csv")
    if config.column not in table:
        raise InputError(
            f"{_FILE} has no column {config.column}; set check_split.column to the column with "
            f"train, validation and test: one of {', '.join(table.columns)}"
        )
    given = table[config.column].fillna("").astype("str").str.strip().str.lower()
    strange = sorted(set(given) - set(_WORDS))
    if strange:
        raise InputError(
            f"{_FILE} has the unknown subset name(s) {example_of(strange)}; allowed are "
            + ", ".join(word for word in _WORDS if word)
        )
    subsets = given.map(_WORDS).astype("str").to_numpy()
    manifest = join_well_index(table, wells, _FILE).assign(**{SUBSET: subsets})
    is_control = manifest[ROLE].isin(_CONTROLS) & (manifest[SUBSET] != Subset.EXCLUDED)
    if is_control.any():
        logger.info(
            "%d negative control and empty wells of %s are left out of the check: every plate has "
            "them",
            is_control.sum(),
            _FILE,
        )
    manifest.loc[is_control, SUBSET] = str(Subset.EXCLUDED)
    counts = manifest.loc[manifest[SUBSET] != Subset.EXCLUDED, SUBSET].value_counts()
    if len(counts) < 2:
        raise InputError(
            f"{_FILE} leaves nothing to compare: of its {len(manifest)} well(s), controls and "
            f"excluded ones aside, {', '.join(f'{n} are {s}' for s, n in counts.items()) or 'none'}"
            f"{'' if len(counts) else ' is in a subset'}; leaks are looked for between two subsets "
            f"or more, by the column {config.column}"
        )
    logger.info("wells compared: %s", ", ".join(f"{n} {name}" for name, n in counts.items()))
    return manifest
