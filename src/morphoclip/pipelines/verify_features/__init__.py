"""Check stored features without computing any."""

from morphoclip.pipelines.verify_features.pipeline import create_pipeline

__all__ = ["create_pipeline"]
