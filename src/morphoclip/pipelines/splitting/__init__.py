"""Which wells train, validate and test."""

from morphoclip.pipelines.splitting.pipeline import create_pipeline

__all__ = ["create_pipeline"]
