"""Make the demo's synthetic gallery."""

from morphoclip.pipelines.demo_gallery.pipeline import create_pipeline

__all__ = ["create_pipeline"]
