"""Plates as they lie on the bench: any number of a well, by row and column."""

from collections.abc import Sequence

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from numpy.typing import NDArray

from morphoclip.columns import CHANNEL, WELL
from morphoclip.well_names import plate_format, well_name, well_position

_MEASURES = {"mean": "mean grey level (counts)", "focus": "focus"}


def plate_grid(wells: pd.Series, values: pd.Series) -> NDArray[np.float64]:
    """Values by row and column of the smallest plate that has these wells, of 6 to 1536.

    The mean where a well has several values, NaN where it has none.
    """
    positions = np.array([well_position(well) for well in wells]).reshape(-1, 2) - 1
    shape = plate_format([(row + 1, column + 1) for row, column in positions] or [(1, 1)])
    totals, numbers = np.zeros(shape), np.zeros(shape)
    measured = values.notna().to_numpy()
    cells = tuple(positions[measured].T)
    np.add.at(totals, cells, values[measured].to_numpy(dtype=float))
    np.add.at(numbers, cells, 1)
    with np.errstate(invalid="ignore"):
        return totals / numbers


def draw_plate_maps(site_qc: pd.DataFrame, channels: Sequence[str]) -> Figure:
    """One plate's wells; sites are averaged.

    Grey level and focus, one column per channel, and a column for the nuclei where they were
    counted.
    """
    counted = site_qc.dropna(subset=["nuclei"])
    n_columns = len(channels) + (not counted.empty)
    figure = Figure(figsize=(2.1 * n_columns + 0.6, 3.1), layout="constrained")
    grid = figure.subplots(len(_MEASURES), n_columns, squeeze=False)
    for column, channel in enumerate(channels):
        rows = site_qc[site_qc[CHANNEL] == channel]
        for row, (measure, name) in enumerate(_MEASURES.items()):
            axes = grid[row, column]
            _draw_wells(axes, rows[WELL], rows[measure])
            if row == 0:
                axes.set_title(channel, fontsize=9)
            if column == 0:
                axes.set_ylabel(name, fontsize=7)
    if not counted.empty:
        _draw_wells(grid[0, -1], counted[WELL], counted["nuclei"])
        grid[0, -1].set_title("nuclei per site", fontsize=9)
        for axes in grid[1:, -1]:
            axes.set_axis_off()
    return figure


def _draw_wells(axes: Axes, wells: pd.Series, values: pd.Series) -> None:
    grid = plate_grid(wells, values)
    image = axes.imshow(grid, cmap="viridis")
    n_rows, n_columns = grid.shape
    columns = sorted({0, n_columns // 2 - 1, n_columns - 1})
    rows = sorted({0, n_rows // 2 - 1, n_rows - 1})
    axes.set_xticks(columns, [str(column + 1) for column in columns], fontsize=6)
    axes.set_yticks(rows, [well_name(row + 1, 1)[:-2] for row in rows], fontsize=6)
    bar = axes.figure.colorbar(image, ax=axes, shrink=0.62, pad=0.02)
    bar.ax.tick_params(labelsize=5.5)
    bar.ax.yaxis.get_offset_text().set_fontsize(5.5)
