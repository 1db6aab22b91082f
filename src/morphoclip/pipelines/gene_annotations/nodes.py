"""Gene annotation nodes: files of databases in, one sourced table out."""

import logging

import pandas as pd

from morphoclip.columns import GENE, GENETIC, MODALITY
from morphoclip.errors import example_of
from morphoclip.perturbations.gene_annotations import (
    GeneAnnotationsConfig,
    build_gene_annotations,
)

logger = logging.getLogger(__name__)


def annotate_genes(
    perturbations: pd.DataFrame,
    uniprot: pd.DataFrame | None,
    hgnc: pd.DataFrame | None,
    ncbi: pd.DataFrame | None,
    config: GeneAnnotationsConfig,
) -> pd.DataFrame:
    """Name and function of every gene that was knocked out or overexpressed."""
    genetic = perturbations[perturbations[MODALITY].isin(GENETIC)]
    genes = sorted(set(genetic[GENE].dropna()))
    table = build_gene_annotations(genes, {"uniprot": uniprot, "hgnc": hgnc, "ncbi": ncbi}, config)
    absent = sorted(set(genes) - set(table["gene"]))
    logger.info(
        "%d of %d genes are in these files, %d with a function%s",
        len(table),
        len(genes),
        table["function"].notna().sum(),
        f"; not {example_of(absent)}" if absent else "",
    )
    return table
