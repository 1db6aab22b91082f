"""Metadata and file names to tables."""

from morphoclip.pipelines.ingestion.pipeline import create_pipeline

__all__ = ["create_pipeline"]
