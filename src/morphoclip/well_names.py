"""Plates by name, wells by name and by row and column."""

import re
import unicodedata
from collections.abc import Iterable

from morphoclip.errors import InputError

LARGEST = (32, 48)
"""Rows and columns of a plate of 1536 wells."""


_LONGEST = 100

_FORMATS = ((2, 3), (3, 4), (4, 6), (6, 8), (8, 12), (16, 24), (32, 48))
"""Rows and columns of plates with 6, 12, 24, 48, 96, 384 and 1536 wells."""


def plate_format(positions: Iterable[tuple[int, int]]) -> tuple[int, int]:
    """Rows and columns of the smallest plate of 6 to 1536 wells that has these, counted from 1."""
    rows, columns = zip(*positions, strict=True)
    used = max(rows), max(columns)
    return next(
        (format for format in _FORMATS if used[0] <= format[0] and used[1] <= format[1]), used
    )


def plate_name(text: str) -> str:
    """A barcode as it is compared: macOS writes an umlaut as two characters.

    Raises:
        InputError: No file or folder could be called that.
    """
    name = unicodedata.normalize("NFC", text).strip()
    if name in ("", ".", "..") or len(name) > _LONGEST or re.search(r"[/\\\x00-\x1f]", name):
        raise InputError(
            f"{text[:_LONGEST]!r} is no name of a plate: files and folders are called by it; give "
            f"it letters, digits and marks, at most {_LONGEST}, no slash"
        )
    return name


def well_name(row: int, col: int) -> str:
    """``(1, 1)`` -> ``A01``; 1536-well plates go on with AA after Z.

    Raises:
        InputError: No plate has this row or column.
    """
    if not (1 <= row <= LARGEST[0] and 1 <= col <= LARGEST[1]):
        raise InputError(f"row {row}, column {col} is no well: plates have up to {LARGEST}")
    letters = chr(64 + row) if row <= 26 else "A" + chr(64 + row - 26)
    return f"{letters}{col:02d}"


def well_position(well: str) -> tuple[int, int]:
    """``A01`` (also ``a1``) -> ``(1, 1)``.

    Raises:
        InputError: The text is no name of a well of any plate.
    """
    match = re.fullmatch(r"([A-Za-z]{1,2})0*([0-9]{1,2})", well.strip())
    row = 0
    for letter in match[1].upper() if match else "":
        row = row * 26 + ord(letter) - 64
    col = int(match[2]) if match else 0
    if not (1 <= row <= LARGEST[0] and 1 <= col <= LARGEST[1]):
        raise InputError(f"{well!r} is no well: wells read A01 to P24 (AF48 on plates of 1536)")
    return row, col
