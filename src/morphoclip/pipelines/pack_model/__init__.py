"""A trained model as one folder that can be handed on."""

from morphoclip.pipelines.pack_model.pipeline import create_pipeline

__all__ = ["create_pipeline"]
