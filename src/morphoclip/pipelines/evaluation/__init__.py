"""Score, draw, report."""

from morphoclip.pipelines.evaluation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
