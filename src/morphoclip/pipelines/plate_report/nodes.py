"""Nodes of a report without a trained model: profile, score, write."""

import logging
from typing import NamedTuple

import pandas as pd

from morphoclip.columns import PLATE, SUBSET, WELL, embedding_columns
from morphoclip.evaluation.config import EvaluationConfig
from morphoclip.evaluation.humble_inputs import CELL_COUNT, benchmark_of_tables, cell_counts
from morphoclip.evaluation.image_profiles import PlateReportConfig, image_profiles
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.loaders import Loaders
from morphoclip.report.page import write_page
from morphoclip.report.rendering import Section

logger = logging.getLogger(__name__)


class ProfiledPlates(NamedTuple):
    """Profiles of all wells, and what made them."""

    image_profiles: pd.DataFrame
    record: dict[str, str]


def profile_plates(
    plate_features: Loaders[PlateFeatures],
    well_index: pd.DataFrame,
    well_quality: pd.DataFrame | None,
    config: PlateReportConfig,
) -> ProfiledPlates:
    """Each well's mean image features, normalised per plate."""
    found = image_profiles(plate_features, well_index, well_quality, config)
    return ProfiledPlates(found.profiles, {"image_model": found.model})


def score_image_profiles(
    image_profiles: pd.DataFrame, well_quality: pd.DataFrame | None, config: EvaluationConfig
) -> pd.DataFrame:
    """How well replicates and treatments with a common target resemble each other."""
    keyed = image_profiles.set_index([PLATE, WELL])
    tables = {"input features": keyed[embedding_columns(keyed)]}
    counts = cell_counts(well_quality)
    if counts is not None:
        tables[CELL_COUNT] = counts
    no_subset = pd.Series(None, index=image_profiles.index, dtype="str")
    wells = image_profiles.drop(columns=embedding_columns(image_profiles))
    return benchmark_of_tables(wells.assign(**{SUBSET: no_subset}), tables, config.null)


def write_plate_report(*sections: Section) -> str:
    """One HTML page about the plates, sections in this order."""
    return write_page(sections)
