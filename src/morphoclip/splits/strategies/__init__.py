"""Split strategies by name: a new one is a file of this folder and a line in `STRATEGIES`."""

from morphoclip.splits.strategies.base import SplitStrategy
from morphoclip.splits.strategies.cellclip_style import CELLCLIP_STYLE
from morphoclip.splits.strategies.official_gene_compound import OFFICIAL_GENE_COMPOUND
from morphoclip.splits.strategies.official_representation import OFFICIAL_REPRESENTATION
from morphoclip.splits.strategies.pert_type import PERT_TYPE
from morphoclip.splits.strategies.plate_held_out import PLATE_HELD_OUT

STRATEGIES: dict[str, SplitStrategy] = {
    strategy.name: strategy
    for strategy in (
        PERT_TYPE,
        OFFICIAL_REPRESENTATION,
        OFFICIAL_GENE_COMPOUND,
        CELLCLIP_STYLE,
        PLATE_HELD_OUT,
    )
}

__all__ = ["STRATEGIES", "SplitStrategy"]
