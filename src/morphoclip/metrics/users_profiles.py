"""Profiles that somebody else made, as metadata and a matrix."""

import logging
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from morphoclip.config import Config
from morphoclip.errors import InputError, example_of
from morphoclip.imaging.sites import well_name, well_position
from morphoclip.perturbations.missing import refuse_repeats, require_columns
from morphoclip.schemas import PLATE, REFERENCE, SUBSET, WELL, Subset

logger = logging.getLogger(__name__)


class ScoreProfilesConfig(Config):
    """``params:score_profiles``."""

    path: str | None = Field(None, description="CSV, TSV or Parquet: Metadata_* and features.")
    name: str = Field("own profiles", description="What the tables call them.")


class UsersProfiles(NamedTuple):
    """``Metadata_*`` of wells, and their features ``(B, E)``."""

    metadata: pd.DataFrame
    matrix: NDArray[np.float64]


def read_users_profiles(table: pd.DataFrame | None, wells: pd.DataFrame) -> UsersProfiles:
    """Join a user's rows with the well index; columns that are not finite everywhere are left out.

    All wells count as test wells, and no negative control as a reference: nobody here knows what
    these profiles were trained on and normalised by.

    Raises:
        InputError: There is no file, columns or wells are missing, or no feature is finite.
    """
    if table is None:
        raise InputError("score_profiles.path names no file: --params score_profiles.path:mine.csv")
    require_columns(table, {PLATE, WELL}, "the profiles to score")
    rows = table.reset_index(drop=True)
    rows[WELL] = [well_name(*well_position(str(well))) for well in rows[WELL]]
    places = rows[[PLATE, WELL]].assign(well=rows[PLATE] + " " + rows[WELL])
    refuse_repeats(places, "well", "the profiles to score", "keep one row a well")
    joined = rows[[PLATE, WELL]].merge(wells, on=[PLATE, WELL], how="left", indicator="known")
    unknown = joined[joined["known"] == "left_only"]
    if len(unknown):
        names = example_of(unknown[PLATE] + " " + unknown[WELL])
        raise InputError(
            f"{len(unknown)} well(s) of the profiles to score are not in the well index: {names}; "
            "run ingestion (or the profiles pipeline) with those plates"
        )
    numbers = rows.select_dtypes("number")
    features = numbers[[name for name in numbers if not name.startswith("Metadata_")]]
    finite = np.isfinite(features.to_numpy(dtype=np.float64)).all(axis=0)
    if not finite.any():
        raise InputError(
            "no column of the profiles to score is a feature that is finite everywhere"
        )
    logger.info("%d wells, %d of %d features are finite", len(rows), finite.sum(), len(finite))
    metadata = joined.drop(columns="known").assign(**{REFERENCE: False, SUBSET: str(Subset.TEST)})
    return UsersProfiles(metadata, features.to_numpy(dtype=np.float64)[:, finite])
