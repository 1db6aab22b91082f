"""CPJUMP1's own split files beside what was computed: they have to agree.

The datasets' repository keeps one table of wells, ``datasplits/cpjump1_metadata.csv``, from which
both official splits follow. It is not needed; where a user has it, it is the judge.
"""

import pandas as pd

from morphoclip.columns import (
    PLATE,
    SUBSET,
    WELL,
    Subset,
)
from morphoclip.errors import InputError
from morphoclip.perturbations.missing_values import with_missing
from morphoclip.splits.strategies import SplitStrategy
from morphoclip.table_checks import require_rows, wells_of

_FILE = "the official table (ingestion.source.official_splits)"
_CONDITION = "Metadata_experiment_condition"


def require_official(
    manifest: pd.DataFrame, official: pd.DataFrame | None, strategy: SplitStrategy
) -> int:
    """Compare a manifest with the official table; the number of wells that were compared.

    Wells that one of both leaves out are not compared: the table is trimmed of outliers, and wells
    without images are excluded here.

    Raises:
        InputError: A well has another subset there; the message names some.
    """
    if official is None or strategy.official is None:
        return 0
    columns = {PLATE, WELL, _CONDITION, *strategy.official_columns}
    require_rows(official, columns, _FILE)
    table = with_missing(official.apply(lambda column: column.str.strip('"')), _FILE)
    table[WELL] = wells_of(table[WELL], _FILE)
    table = table[table[_CONDITION] == "Standard"]
    expected = strategy.official(table)
    both = manifest.merge(table.assign(official=expected)[[PLATE, WELL, "official"]])
    both = both[both["official"].notna() & (both[SUBSET] != Subset.EXCLUDED)]
    differing = both[both[SUBSET] != both["official"]]
    if len(differing):
        rows = "; ".join(
            f"{row[PLATE]} {row[WELL]} is {row[SUBSET]} here and {row['official']} there"
            for row in differing.head(3).to_dict("records")
        )
        raise InputError(
            f"{len(differing)} of {len(both)} wells differ from {_FILE}: {rows}; check that the "
            "metadata are CPJUMP1's"
        )
    return len(both)
