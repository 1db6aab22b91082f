"""Plates that were not trained on through a trained model."""

from morphoclip.pipelines.embed_plates.pipeline import create_pipeline

__all__ = ["create_pipeline"]
