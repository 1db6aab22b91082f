"""Mechanisms of action by their bare words."""

from morphoclip.pipelines.zero_shot.pipeline import create_pipeline

__all__ = ["create_pipeline"]
