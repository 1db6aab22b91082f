"""CPJUMP1's gene-compound split: genes that all modalities have, 60, 20 and 20 %."""

import pandas as pd

from morphoclip.columns import (
    GENE,
    JUMP_TARGET,
    MODALITY,
    REASON,
    ROLE,
    SUBSET,
    WELL,
    Modality,
    Role,
    Subset,
)
from morphoclip.errors import InputError
from morphoclip.splits.fields import SplitSettings
from morphoclip.splits.strategies.base import (
    FIXED_BY_METADATA,
    SplitStrategy,
    consecutive,
    unassigned,
)

_NAME = "cpjump1_official_gene_compound"
_TARGET, _ACROSS = "Metadata_target_radix", "Metadata_target_is_across"


def _assign(
    wells: pd.DataFrame,
    config: SplitSettings,
    everything: pd.DataFrame,
) -> pd.DataFrame:
    """Genes that all modalities have, in the order of the ORF plates' wells: 60, 20 and 20 %.

    CPJUMP1's gene-compound split. A compound goes where its primary target goes; wells of other
    genes are left out. The order is that of all wells: one without images moves no other gene.

    Raises:
        InputError: A modality has no plate here.
    """
    treated = everything[(everything[ROLE] != Role.NEGCON) & everything[GENE].notna()]
    genes_of = {m: set(treated.loc[treated[MODALITY] == m, GENE]) for m in JUMP_TARGET}
    absent = [modality for modality, genes in genes_of.items() if not genes]
    if absent:
        raise InputError(
            f"{_NAME} follows genes through all modalities, and no plate here has "
            f"{' or '.join(absent)} wells with genes; add some to ingestion.plates"
        )
    across = set.intersection(*genes_of.values())
    orfs = treated[treated[MODALITY] == Modality.ORF].sort_values(WELL)
    order = [gene for gene in orfs[GENE].drop_duplicates() if gene in across]
    assigned = unassigned(wells)
    assigned[SUBSET] = wells[GENE].map(_divided(order)).fillna(str(Subset.EXCLUDED))
    outside = assigned[SUBSET] == Subset.EXCLUDED
    assigned.loc[outside, REASON] = "gene not in all modalities"
    return assigned


def _official(table: pd.DataFrame) -> pd.Series:
    """Genes in the order of their first appearance in CPJUMP1's own table."""
    across = table[table[_ACROSS].str.upper() == "TRUE"]
    genes = list(across[_TARGET].dropna().drop_duplicates())
    return table[_TARGET].map(_divided(genes))


def _divided(genes: list[str]) -> dict[str, str]:
    """The first floor(0.6 n) genes train, the next ceil(0.2 n) validate, the rest test."""
    return consecutive(genes, 6 * len(genes) // 10, -(-2 * len(genes) // 10))


OFFICIAL_GENE_COMPOUND = SplitStrategy(
    name=_NAME,
    assign=_assign,
    ignored=FIXED_BY_METADATA,
    kept_apart=frozenset({"well", "broad_sample", "gene"}),
    official=_official,
    official_columns=frozenset({_TARGET, _ACROSS}),
)
