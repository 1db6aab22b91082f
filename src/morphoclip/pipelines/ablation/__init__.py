"""Ablations in one command."""

from morphoclip.pipelines.ablation.pipeline import create_pipeline

__all__ = ["create_pipeline"]
