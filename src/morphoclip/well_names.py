"""Wells by name and by row and column."""

import re

from morphoclip.errors import InputError


def well_name(row: int, col: int) -> str:
    """``(1, 1)`` -> ``A01``; 1536-well plates go on with AA after Z."""
    letters = chr(64 + row) if row <= 26 else "A" + chr(64 + row - 26)
    return f"{letters}{col:02d}"


def well_position(well: str) -> tuple[int, int]:
    """``A01`` (also ``a1``) -> ``(1, 1)``.

    Raises:
        InputError: The text is no well name.
    """
    match = re.fullmatch(r"([A-Za-z]{1,2})0*(\d{1,2})", well.strip())
    if match is None:
        raise InputError(f"{well!r} is no well: wells read A01 to P24")
    row = 0
    for letter in match[1].upper():
        row = row * 26 + ord(letter) - 64
    return row, int(match[2])
