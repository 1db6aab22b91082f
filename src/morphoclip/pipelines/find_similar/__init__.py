"""Which treatments are most similar to a text or a treatment?"""

from morphoclip.pipelines.find_similar.pipeline import create_pipeline

__all__ = ["create_pipeline"]
