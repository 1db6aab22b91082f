"""How a packed model wants images turned into features: the first part of ``embed_plates``."""

from morphoclip.pipelines.demand_features.pipeline import create_pipeline

__all__ = ["create_pipeline"]
