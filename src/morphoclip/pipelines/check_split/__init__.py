"""A split made elsewhere, checked by the leakage report."""

from morphoclip.pipelines.check_split.pipeline import create_pipeline

__all__ = ["create_pipeline"]
