"""Genes that treatments act on, and what is known of them."""

import pandas as pd

from morphoclip.columns import (
    FUNCTION,
    GENE,
    GENETIC,
    MOA_LIST,
    MODALITY,
    PROTEIN_NAME,
    TARGET_LIST,
)
from morphoclip.perturbations.gene_annotations import read_gene_annotations


def entries_of(column: pd.Series) -> pd.Series:
    """What cells that list several things, ``A|B``, hold, as tuples; empty where missing."""
    return column.map(
        lambda cell: tuple(dict.fromkeys(cell.split("|"))) if isinstance(cell, str) else ()
    )


def genes_of(table: pd.DataFrame, *, listed: bool) -> pd.Series:
    """Genes of each row as tuples: all that a compound lists, or its one gene."""
    return entries_of(table[TARGET_LIST].fillna(table[GENE]) if listed else table[GENE])


def with_functions(table: pd.DataFrame, gene_annotations: pd.DataFrame | None) -> pd.DataFrame:
    """A gene's function is what the annotations say, another perturbation's its mechanism."""
    is_genetic = table[MODALITY].isin(GENETIC)
    by_gene = read_gene_annotations(gene_annotations).set_index("gene")
    mechanism = table[MOA_LIST].str.replace("|", ", ", regex=False)
    return table.assign(
        **{
            PROTEIN_NAME: table[GENE].map(by_gene["name"]).where(is_genetic),
            FUNCTION: mechanism.where(~is_genetic, table[GENE].map(by_gene["function"])),
        }
    )
