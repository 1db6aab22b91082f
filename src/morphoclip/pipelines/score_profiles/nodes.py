"""Scoring node: profiles made elsewhere in, the evaluation's tables out."""

import logging
import math

import pandas as pd

from morphoclip.evaluation.config import EvaluationConfig
from morphoclip.evaluation.external_profiles import ScoreProfilesConfig, read_external_profiles
from morphoclip.metrics.benchmark import benchmark
from morphoclip.metrics.matching import match_profiles
from morphoclip.perturbations.well_index import readable_condition

logger = logging.getLogger(__name__)


def score_external_profiles(
    external_profiles: pd.DataFrame | None,
    well_index: pd.DataFrame,
    config: ScoreProfilesConfig,
    evaluation: EvaluationConfig,
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """The CPJUMP1 benchmark and the matching metrics of external profiles."""
    profiles = read_external_profiles(external_profiles, well_index)
    tracks = benchmark(profiles.metadata, profiles.matrix, evaluation.null, profiles=config.name)
    logger.info("%s, mean average precision (chance)\n%s", config.name, _as_text(tracks))
    return tracks, match_profiles(profiles.metadata, profiles.matrix)


def _as_text(tracks: pd.DataFrame) -> str:
    """Two lines per track, within 80 columns."""
    lines = []
    for row in tracks[tracks["stratum"] == "all"].to_dict("records"):
        lines.append(f"  {row['task'].replace('_', ' ')}, {readable_condition(row['track'])}")
        if row["n_groups"]:
            control = row["same_position"]
            beside = "" if math.isnan(control) else f"; controls at one position {control:.3f}"
            lines.append(
                f"    {row['mean_average_precision']:.3f} ({row['chance']:.3f}{beside}), "
                f"{row['fraction_retrieved']:.0%} of {row['n_groups']} retrieved"
            )
        if isinstance(row["flag"], str):
            lines.append(f"    {row['flag']}")
    return "\n".join(lines)
