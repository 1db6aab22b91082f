"""Pack another project's per-site features."""

from morphoclip.pipelines.import_features.pipeline import create_pipeline

__all__ = ["create_pipeline"]
