"""Which words of which column mean that a value is missing."""

import pandas as pd

_ANYWHERE = ("", "NA", "NaN", "nan")
_BY_COLUMN = {
    "broad_sample": ("empty", "blank"),
    "gene": ("empty", "NO_SITE", "ONE_INTERGENIC_SITE"),
    "target": ("empty", "NO_SITE", "ONE_INTERGENIC_SITE"),
    "target_list": ("empty",),
    "moa_list": ("unknown", "Unknown", "-"),
    "function": ("unknown", "Unknown", "-"),
    "name": ("unknown", "Unknown", "-"),
}


def with_missing(table: pd.DataFrame) -> pd.DataFrame:
    """The table as text, without surrounding blanks; what means "missing" in a column is NA."""
    text = table.astype("str").apply(lambda column: column.str.strip())
    return text.apply(
        lambda column: column.mask(column.isin([*_ANYWHERE, *_BY_COLUMN.get(column.name, ())]))
    )
