"""Which words of which column mean that nothing is known."""

import pandas as pd

from morphoclip.errors import InputError

_ANYWHERE = ("", "NA", "NaN", "nan")
_BY_COLUMN = {
    "broad_sample": ("empty",),
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


def require_columns(table: pd.DataFrame, columns: set[str], file: str) -> None:
    """Raise the sentence for a table that lacks columns.

    Raises:
        InputError: A column is missing.
    """
    missing = sorted(columns - set(table.columns))
    if missing:
        raise InputError(
            f"{file} lacks the column(s) {', '.join(missing)}; it has {', '.join(table.columns)}"
        )


def refuse_repeats(table: pd.DataFrame, column: str, file: str, remedy: str) -> None:
    """Raise the sentence for a table that says the same thing's row twice.

    Raises:
        InputError: Naming the value, and the lines of the file that hold it.
    """
    known = table[table[column].notna()]
    repeated = known[known[column].duplicated(keep=False)]
    if len(repeated):
        value = repeated[column].iloc[0]
        lines = [str(2 + row) for row in repeated.index[repeated[column] == value]]
        raise InputError(
            f"{file} lists {repeated[column].nunique()} {column}(s) more than once, e.g. {value} "
            f"in lines {' and '.join(lines[:3])}; {remedy}"
        )
