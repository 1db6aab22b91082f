"""A user's own profiles through the evaluation."""

from morphoclip.pipelines.score_profiles.pipeline import create_pipeline

__all__ = ["create_pipeline"]
