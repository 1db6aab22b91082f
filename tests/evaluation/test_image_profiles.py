"""Profiles without a model: which plates can be normalised by their controls."""

import pandas as pd

from morphoclip.columns import N_SITES, PLATE, ROLE, WELL
from morphoclip.evaluation.image_profiles import plates_without_controls


def wells(*rows: tuple[str, str, str, int]) -> pd.DataFrame:
    return pd.DataFrame(rows, columns=[PLATE, WELL, ROLE, N_SITES])


def test_plates_need_two_sites_of_the_controls_that_they_are_normalised_by() -> None:
    table = wells(
        ("none", "A01", "trt", 9),
        ("one site", "A01", "negcon", 1),
        ("one site", "A02", "trt", 9),
        ("two sites", "A01", "negcon", 2),
        ("two wells", "A01", "negcon", 1),  # one half of two wells is one well of one site
        ("two wells", "A02", "negcon", 1),
    )
    assert plates_without_controls(table) == ["none", "one site", "two wells"]
