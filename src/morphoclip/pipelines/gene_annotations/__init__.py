"""Downloaded gene tables to gene_annotations.tsv."""

from morphoclip.pipelines.gene_annotations.pipeline import create_pipeline

__all__ = ["create_pipeline"]
