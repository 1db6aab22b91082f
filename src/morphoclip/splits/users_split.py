"""A split that somebody else made, as a manifest."""

from typing import Literal

import pandas as pd
from pydantic import Field

from morphoclip.config import Config
from morphoclip.errors import InputError, example_of
from morphoclip.imaging.sites import well_name, well_position
from morphoclip.perturbations.missing import refuse_repeats, require_columns
from morphoclip.schemas import PLATE, SUBSET, WELL, Subset

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
    """The user's rows with what was done to each well.

    Raises:
        InputError: There is no file, a column is missing, a well is listed twice or is in no well
            index, or a subset is called by an unknown word.
    """
    if table is None:
        raise InputError("check_split.path names no file: --params check_split.path:my_split.csv")
    require_columns(table, {PLATE, WELL, config.column}, "the split to check")
    rows = table.astype("str").reset_index(drop=True)
    rows[WELL] = [well_name(*well_position(well)) for well in rows[WELL]]
    places = rows.assign(well=rows[PLATE] + " " + rows[WELL])
    refuse_repeats(places, "well", "the split to check", "keep one row a well")
    said = table[config.column].fillna("").astype("str").str.strip().str.lower()
    said.index = rows.index
    strange = sorted(set(said) - set(_WORDS))
    if strange:
        raise InputError(
            f"the split to check calls a subset {example_of(strange)}; known are "
            + ", ".join(word for word in _WORDS if word)
        )
    subsets = rows[[PLATE, WELL]].assign(**{SUBSET: said.map(_WORDS).astype("str")})
    joined = subsets.merge(wells, on=[PLATE, WELL], how="left", indicator="known")
    unknown = joined[joined["known"] == "left_only"]
    if len(unknown):
        first = unknown.iloc[0]
        raise InputError(
            f"{len(unknown)} well(s) of the split to check are not in the well index, e.g. "
            f"{first[PLATE]} {first[WELL]}; run ingestion with those plates"
        )
    return joined.drop(columns="known")
