"""Profiles made outside this project, as metadata and a matrix."""

import logging
from typing import NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray
from pydantic import Field

from morphoclip.columns import REFERENCE, SUBSET, Subset
from morphoclip.config import Config
from morphoclip.errors import InputError
from morphoclip.features.profile_tables import feature_columns, log_what_is_no_feature, with_places
from morphoclip.metrics.conditions import treated_wells
from morphoclip.perturbations.well_index import join_well_index

_FILE = "the table of profiles"
logger = logging.getLogger(__name__)


class ScoreProfilesConfig(Config):
    """``params:score_profiles``."""

    path: str | None = Field(None, description="CSV, TSV or Parquet: Metadata_* and features.")
    name: str = Field("external profiles", description="Name of these profiles in the tables.")


class ExternalProfiles(NamedTuple):
    """``Metadata_*`` of wells, and their features ``(B, E)``."""

    metadata: pd.DataFrame
    matrix: NDArray[np.float64]


def read_external_profiles(table: pd.DataFrame | None, wells: pd.DataFrame) -> ExternalProfiles:
    """Join the rows of a table with the well index, and keep the finite feature columns.

    All wells count as test wells, and no negative control as a reference: what these profiles were
    trained on and normalised by is unknown.

    Raises:
        InputError: There is no file, columns or wells are missing, there are controls alone, or no
            feature is finite.
    """
    if table is None:
        raise InputError("score_profiles.path names no file: --params score_profiles.path:mine.csv")
    table = with_places(table, _FILE)
    metadata = join_well_index(table, wells, _FILE)
    if not treated_wells(metadata).any():
        raise InputError(
            f"{_FILE} holds {len(table)} well(s) and no treatment among them: there is nothing to "
            "score beside controls and empty wells"
        )
    features = table[feature_columns(table)]
    finite = np.isfinite(features.to_numpy(dtype=np.float64)).all(axis=0)
    if not finite.any():
        raise InputError(f"no column of {_FILE} is a feature that is finite everywhere")
    logger.info("%d wells, %d of %d features are finite", len(table), finite.sum(), len(finite))
    log_what_is_no_feature(table, features.columns[finite], _FILE)
    as_test = metadata.assign(**{REFERENCE: False, SUBSET: str(Subset.TEST)})
    return ExternalProfiles(as_test, features.to_numpy(dtype=np.float64)[:, finite])
