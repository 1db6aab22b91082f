"""Copy what a run needs from a bucket to this machine."""

from morphoclip.pipelines.fetch.pipeline import create_pipeline

__all__ = ["create_pipeline"]
