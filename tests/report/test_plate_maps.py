"""Plates by row and column."""

import numpy as np
import pandas as pd

from morphoclip.columns import CHANNEL, WELL
from morphoclip.report.plate_maps import draw_plate_maps, plate_grid


def test_wells_lie_where_they_lie_on_the_plate_and_sites_are_averaged() -> None:
    grid = plate_grid(pd.Series(["A01", "A01", "P24", "B03"]), pd.Series([1.0, 3.0, 7.0, None]))
    assert grid.shape == (16, 24)
    assert grid[0, 0] == 2
    assert grid[15, 23] == 7
    assert np.isnan(grid).sum() == 16 * 24 - 2


def test_a_1536_well_plate_has_a_larger_map() -> None:
    assert plate_grid(pd.Series(["AF48"]), pd.Series([1.0])).shape == (32, 48)


def test_each_channel_has_a_map_of_its_levels_and_one_of_its_focus() -> None:
    qc = pd.DataFrame(
        {WELL: ["A01", "A01"], CHANNEL: ["DNA", "ER"], "mean": [5.0, None], "focus": [0.1, None]}
    ).assign(nuclei=None)
    figure = draw_plate_maps(qc, ["ER", "DNA"])
    titles = [axes.get_title() for axes in figure.axes if axes.images and axes.get_title()]
    assert titles == ["ER", "DNA"]
    shown = figure.axes[1].images[0].get_array()
    assert shown.count() == 1 or np.isfinite(shown).sum() == 1


def test_nuclei_have_a_map_of_their_own_where_they_were_counted() -> None:
    qc = pd.DataFrame(
        {
            WELL: ["A01", "A01"],
            CHANNEL: ["DNA", "ER"],
            "mean": 5.0,
            "focus": 0.1,
            "nuclei": [7, None],
        }
    )
    figure = draw_plate_maps(qc, ["ER", "DNA"])
    (axes,) = [axes for axes in figure.axes if axes.get_title() == "nuclei per site"]
    assert np.nansum(axes.images[0].get_array()) == 7
