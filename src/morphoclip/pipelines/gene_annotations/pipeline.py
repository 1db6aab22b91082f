"""Gene annotations pipeline: downloaded files to ``gene_annotations.tsv``."""

from kedro.pipeline import Node, Pipeline

from morphoclip.pipelines.gene_annotations.nodes import annotate_genes


def create_pipeline(**_: object) -> Pipeline:
    """Build ``perturbations`` and the databases' files -> ``built_gene_annotations``."""
    return Pipeline(
        [
            Node(
                func=annotate_genes,
                inputs={
                    "perturbations": "perturbations",
                    "uniprot": "uniprot_genes",
                    "hgnc": "hgnc_genes",
                    "ncbi": "ncbi_genes",
                    "config": "params:gene_annotations",
                },
                outputs="built_gene_annotations",
                name="annotate_genes",
            ),
        ]
    )
