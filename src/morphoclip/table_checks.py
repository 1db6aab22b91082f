"""What every table from outside has to fulfil before it is read."""

import pandas as pd

from morphoclip.errors import InputError
from morphoclip.well_names import well_name, well_position


def require_columns(table: pd.DataFrame, columns: set[str], file: str) -> None:
    """Raise the sentence for a table that lacks columns.

    Raises:
        InputError: A column is missing.
    """
    missing = sorted(columns - set(table.columns))
    if missing:
        raise InputError(
            f"{file} lacks the column(s) {', '.join(missing)}; it has "
            f"{', '.join(map(str, table.columns))}"
        )


def require_rows(table: pd.DataFrame, columns: set[str], file: str) -> None:
    """Raise the sentence for a table that lacks columns, or has a header alone.

    Raises:
        InputError: A column is missing, or there is no row.
    """
    require_columns(table, columns, file)
    if table.empty:
        raise InputError(f"{file} has a header and no row: fill it in, or fetch it again")


def with_named_index(table: pd.DataFrame) -> pd.DataFrame:
    """Parquet's index as columns, where it has names: plates and wells often stand there."""
    return table.reset_index() if any(table.index.names) else table


def refuse_repeated_columns(names: list[str], file: str) -> None:
    """Raise the sentence for a header that names a column twice, which pandas would rename.

    Raises:
        InputError: With the name.
    """
    repeated = sorted({name for name in names if name and names.count(name) > 1})
    if repeated:
        raise InputError(
            f"{file} has {len(repeated)} column name(s) more than once, e.g. {repeated[0]}: keep "
            "one column of each"
        )


def wells_of(column: pd.Series, file: str) -> list[str]:
    """Names of wells (``A01``) from a table's column, whose index counts rows from 0.

    Raises:
        InputError: A cell names no well, or is blank; with the first one's line.
    """
    names, strange = {}, []
    for text in column.dropna().astype("str").unique():
        try:
            names[text] = well_name(*well_position(text))
        except InputError:
            strange.append(text)
    odd = column[column.isna() | column.astype("str").isin(strange)].fillna("").astype("str")
    odd.index += 2  # as a spreadsheet counts lines
    what = "row(s) name no well"
    refuse_lines(odd, what, file, "wells read A01 to P24 (AF48 on plates of 1536)")
    return [names[text] for text in column.astype("str")]


def refuse_repeats(table: pd.DataFrame, column: str, file: str, remedy: str) -> None:
    """Raise the sentence for a table that says the same thing's row twice.

    Raises:
        InputError: Naming the value, and the lines of the file that hold it.
    """
    filled = table[table[column].notna()]
    repeated = filled[filled[column].duplicated(keep=False)]
    if len(repeated):
        value = repeated[column].iloc[0]
        lines = [str(2 + row) for row in repeated.index[repeated[column] == value]]
        raise InputError(
            f"{file} lists {repeated[column].nunique()} {column}(s) more than once, e.g. {value} "
            f"in lines {' and '.join(lines[:3])}; {remedy}"
        )


def refuse_lines(cells: pd.Series, what: str, file: str, remedy: str) -> None:
    """Raise the sentence for cells that cannot be used, whose index counts lines; none is fine.

    Raises:
        InputError: How many there are, the first one's line and what it holds.
    """
    if len(cells):
        first = cells.iloc[0]
        written = f": {first!r}" if isinstance(first, str) else ""
        raise InputError(
            f"{file}: {len(cells)} {what}, e.g. line {cells.index[0]}{written}; {remedy}"
        )
