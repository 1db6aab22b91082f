"""Train an adapter of the vision backbone together with the towers."""

from morphoclip.pipelines.lora.pipeline import create_pipeline

__all__ = ["create_pipeline"]
