"""Perturbations to prompts to features."""

from morphoclip.pipelines.text_features.pipeline import create_pipeline

__all__ = ["create_pipeline"]
