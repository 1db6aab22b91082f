"""Which words of which column mean that a value is missing."""

import logging

import pandas as pd

logger = logging.getLogger(__name__)

_OF_TOOLS = ("NA", "NaN", "nan", "N/A", "#N/A", "<NA>", "None", "none", "null", "NULL")
"""What programs write where a value is missing."""
_NO_WIDTH = "[\u200b-\u200f\u2060\ufeff]"
_BY_COLUMN = {
    "broad_sample": ("empty", "blank", "-", "--", "?"),
    "gene": ("empty", "NO_SITE", "ONE_INTERGENIC_SITE"),
    "target": ("empty", "NO_SITE", "ONE_INTERGENIC_SITE"),
    "target_list": ("empty",),
    "moa_list": ("unknown", "Unknown", "-"),
    "function": ("unknown", "Unknown", "-"),
    "name": ("unknown", "Unknown", "-"),
}


def with_missing(table: pd.DataFrame, file: str) -> pd.DataFrame:
    """The table as text, without surrounding blanks; what means "missing" in a column is NA.

    A word that some program wrote for it is said and counted: a blank is meant, a word need not be.

    Args:
        table: Text, or missing.
        file: What sentences call it.
    """
    text = table.astype("str").apply(_plain)
    for name, column in text.items():
        words = column[column.isin(_OF_TOOLS) & table[name].notna()]
        if len(words):
            logger.warning(
                "%s: %d cell(s) of the column %s hold %r, e.g. line %d; they are read as blank",
                file,
                len(words),
                name,
                words.iloc[0],
                text.index.get_loc(words.index[0]) + 2,
            )
    return text.apply(
        lambda column: column.mask(
            column.isin(["", *_OF_TOOLS, *_BY_COLUMN.get(_bare(column.name), ())])
        )
    )


def _plain(column: pd.Series) -> pd.Series:
    """Without what nobody sees: blanks around, marks of no width; umlauts as one character."""
    return column.str.normalize("NFC").str.replace(_NO_WIDTH, "", regex=True).str.strip()


def _bare(column: object) -> str:
    return str(column).removeprefix("Metadata_")
