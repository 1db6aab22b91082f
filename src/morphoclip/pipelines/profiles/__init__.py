"""Published profiles in the place of images."""

from morphoclip.pipelines.profiles.pipeline import create_pipeline

__all__ = ["create_pipeline"]
