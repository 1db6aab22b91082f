"""Scoring nodes: a user's profiles in, the evaluation's tables out."""

import logging

import pandas as pd

from morphoclip.metrics.benchmark import NullConfig, benchmark
from morphoclip.metrics.matching import match_profiles
from morphoclip.metrics.scores import EvaluationConfig
from morphoclip.metrics.users_profiles import ScoreProfilesConfig, read_users_profiles

logger = logging.getLogger(__name__)


def score_users_profiles(
    profiles_to_score: pd.DataFrame | None,
    well_index: pd.DataFrame,
    config: ScoreProfilesConfig,
    evaluation: EvaluationConfig,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The CPJUMP1 benchmark and the matching metrics of anybody's profiles."""
    own = read_users_profiles(profiles_to_score, well_index)
    null = NullConfig(evaluation.null_size, evaluation.seed)
    tracks = benchmark(own.metadata, own.matrix, null, profiles=config.name)
    shown = tracks[tracks["stratum"] == "all"].drop(columns=["profiles", "stratum"])
    logger.info("%s\n%s", config.name, shown.round(3).to_string(index=False))
    return tracks, match_profiles(own.metadata, own.matrix)
