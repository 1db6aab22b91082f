"""Profiles made elsewhere, scored by the evaluation's metrics."""

from morphoclip.pipelines.score_profiles.pipeline import create_pipeline

__all__ = ["create_pipeline"]
