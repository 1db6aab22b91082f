"""Images to features."""

from morphoclip.pipelines.image_features.pipeline import create_pipeline

__all__ = ["create_pipeline"]
