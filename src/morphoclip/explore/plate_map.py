"""Plates as they lie on the bench, as SVG: wells are links, coloured by a number or a name."""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from morphoclip.well_names import plate_format, well_name, well_position

# viridis at nine even steps (Smith and van der Walt 2015, CC0)
_SCALE = (
    (68, 1, 84), (71, 44, 122), (59, 81, 139), (44, 113, 142), (33, 144, 141), (39, 173, 129),
    (92, 200, 99), (170, 220, 50), (253, 231, 37),
)  # fmt: skip
_NAMED = (
    "#4477aa", "#ee6677", "#228833", "#ccbb44", "#66ccee", "#aa3377", "#bbbbbb", "#994455",
)  # fmt: skip
CELL = 26
MARGIN = 30


class WellShown(NamedTuple):
    """A well as it is drawn."""

    name: str
    x: int
    y: int
    colour: str
    text: str
    known: bool


class PlateMap(NamedTuple):
    """A plate's wells and labels, and what colours mean."""

    width: int
    height: int
    rows: list[tuple[str, int]]
    columns: list[tuple[str, int]]
    wells: list[WellShown]
    legend: list[tuple[str, str]]
    low: str
    high: str


def plate_map(wells: pd.Series, values: pd.Series) -> PlateMap:
    """The wells of one plate ``(B,)`` with a number or a name each."""
    names = list(wells)
    positions = [well_position(well) for well in names]
    n_rows, n_columns = plate_format(positions)
    colours, legend, low, high = _colours(values)
    shown = [
        WellShown(
            name,
            MARGIN + (column - 1) * CELL,
            MARGIN + (row - 1) * CELL,
            colour or "#ffffff",
            _words(value),
            colour is not None,
        )
        for name, (row, column), colour, value in zip(
            names, positions, colours, values, strict=True
        )
    ]
    return PlateMap(
        MARGIN + n_columns * CELL + 6,
        MARGIN + n_rows * CELL + 6,
        [
            (well_name(row, 1)[:-2], MARGIN + (row - 1) * CELL + CELL // 2)
            for row in range(1, n_rows + 1)
        ],
        [
            (str(column), MARGIN + (column - 1) * CELL + CELL // 2)
            for column in range(1, n_columns + 1)
        ],
        shown,
        legend,
        low,
        high,
    )


def _colours(values: pd.Series) -> tuple[list[str | None], list[tuple[str, str]], str, str]:
    if pd.api.types.is_numeric_dtype(values) and not pd.api.types.is_bool_dtype(values):
        numbers = values.to_numpy(dtype=float)
        known = numbers[np.isfinite(numbers)]
        if not len(known):
            return [None] * len(numbers), [], "", ""
        low, high = np.quantile(known, [0.01, 0.99])
        span = high - low if high > low else 1.0
        return (
            [
                colour_of((number - low) / span) if np.isfinite(number) else None
                for number in numbers
            ],
            [],
            f"{low:.3g}",
            f"{high:.3g}",
        )
    names = list(pd.unique(values.dropna()))
    of_name = {name: _NAMED[place % len(_NAMED)] for place, name in enumerate(sorted(names))}
    colours = [of_name.get(value) for value in values]
    return colours, [(str(name), colour) for name, colour in of_name.items()], "", ""


def colour_of(share: float) -> str:
    """A colour between dark blue (0) and yellow (1)."""
    place = min(max(share, 0.0), 1.0) * (len(_SCALE) - 1)
    below = min(int(place), len(_SCALE) - 2)
    weight = place - below
    mixed = [
        round((1 - weight) * one + weight * other)
        for one, other in zip(_SCALE[below], _SCALE[below + 1], strict=True)
    ]
    return "#{:02x}{:02x}{:02x}".format(*mixed)


def colours_of_names(values: Sequence[Any]) -> Mapping[str, str]:
    """A colour for each name, the most frequent first; the rest is grey."""
    counts = pd.Series(values).dropna().astype(str).value_counts()
    return {name: _NAMED[place] for place, name in enumerate(counts.index[: len(_NAMED)])}


def _words(value: object) -> str:
    if value is None or (isinstance(value, float) and np.isnan(value)) or value is pd.NA:
        return "not known"
    return f"{value:.4g}" if isinstance(value, float) else str(value)
