"""Write a backbone with its adapter merged in."""

from morphoclip.pipelines.merge_adapter.pipeline import create_pipeline

__all__ = ["create_pipeline"]
