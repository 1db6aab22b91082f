"""All folds and seeds, beside baselines."""

from morphoclip.pipelines.cross_validation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
