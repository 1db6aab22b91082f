"""Words or a treatment in, the treatments most like it out."""

from morphoclip.pipelines.look_up.pipeline import create_pipeline

__all__ = ["create_pipeline"]
