"""Near-empty images, wells with few cells and wells that are too bright, beside their controls."""

import numpy as np
import pandas as pd
import pytest

from morphoclip.columns import CHANNEL, PLATE, QUALITY, REASON, ROLE, SITE, WELL
from morphoclip.features.well_quality import assess_wells, with_near_empty
from morphoclip.schemas.features import WELL_QUALITY

WELLS = pd.DataFrame(
    {
        PLATE: "P",
        WELL: ["A01", "A02", "A03", "B01", "B02", "B03"],
        ROLE: ["negcon", "negcon", "trt", "trt", "trt", "empty"],
    }
)


def images(contrast: float = 100, *, low: float = 0, nuclei: float = 40) -> pd.DataFrame:
    """Two sites of each well, two channels, all alike; tests change some."""
    rows = [
        (well, site, channel, low, low + contrast, nuclei if channel == "DNA" else np.nan)
        for well in WELLS[WELL]
        for site in (1, 2)
        for channel in ("DNA", "ER")
    ]
    table = pd.DataFrame(rows, columns=[WELL, SITE, CHANNEL, "p0_1", "p99_9", "nuclei"])
    table[REASON] = pd.Series(None, table.index, dtype="str")
    return table.assign(**{PLATE: "P", "mean": 1.0})


def changed(table: pd.DataFrame, well: str, **values: float) -> pd.DataFrame:
    return table.assign(
        **{name: table[name].mask(table[WELL] == well, value) for name, value in values.items()}
    )


def flags(table: pd.DataFrame, wells: pd.DataFrame = WELLS) -> dict[str, str]:
    found = WELL_QUALITY.validate(assess_wells(with_near_empty(table, wells), wells))
    return found.dropna(subset=[QUALITY]).set_index(WELL)[QUALITY].to_dict()


def test_wells_like_their_controls_have_no_flag() -> None:
    assert flags(images()) == {}
    assert flags(images(contrast=3000, low=110)) == {}


@pytest.mark.parametrize(("low", "contrast"), [(0, 100), (110, 3000)])
def test_dim_noise_is_near_empty_whatever_the_background(low: float, contrast: float) -> None:
    usual = images(low=low, contrast=contrast)
    assert flags(changed(usual, "B01", p99_9=low + 0.19 * contrast)) == {"B01": "near_empty"}
    assert flags(changed(usual, "B01", p99_9=low + 0.2 * contrast)) == {}


def test_one_dark_channel_of_two_is_no_empty_site() -> None:
    table = images()
    dark = (table[WELL] == "B01") & (table[CHANNEL] == "ER")
    assert flags(table.assign(p99_9=table["p99_9"].mask(dark, 1))) == {}


def test_one_empty_site_of_two_is_no_empty_well() -> None:
    table = images()
    empty = (table[WELL] == "B01") & (table[SITE] == 1)
    marked = with_near_empty(table.assign(p99_9=table["p99_9"].mask(empty, 1)), WELLS)
    assert marked["near_empty"].sum() == 2
    found = assess_wells(marked, WELLS).set_index(WELL)
    assert found.loc["B01", ["n_sites", "n_near_empty"]].tolist() == [2, 1]
    assert found[QUALITY].isna().all()


def test_few_nuclei_are_beside_the_controls() -> None:
    assert flags(changed(images(nuclei=40), "B01", nuclei=9)) == {"B01": "few_cells"}
    assert flags(changed(images(nuclei=40), "B01", nuclei=10)) == {}
    assert flags(changed(images(nuclei=4), "B01", nuclei=0)) == {}  # nothing to compare with
    table = changed(changed(images(), "A01", nuclei=30), "A02", nuclei=10)
    found = assess_wells(with_near_empty(table, WELLS), WELLS).set_index(WELL)
    expected = np.log(41 / 21)  # the controls' median is 20
    assert found.loc["B01", "nuclei_log_ratio"] == pytest.approx(expected)


def test_nuclei_that_were_not_counted_are_missing_and_no_flag() -> None:
    table = images().assign(nuclei=np.nan)
    found = WELL_QUALITY.validate(assess_wells(with_near_empty(table, WELLS), WELLS))
    assert found[["nuclei", "nuclei_log_ratio"]].isna().all(axis=None)
    assert found[QUALITY].isna().all()


def test_debris_outshines_the_controls() -> None:
    assert flags(changed(images(), "B02", p99_9=501)) == {"B02": "too_bright"}
    assert flags(changed(images(), "B02", p99_9=500)) == {}


def test_without_controls_all_wells_but_empty_ones_are_the_measure() -> None:
    wells = WELLS.assign(**{ROLE: WELLS[ROLE].replace("negcon", "trt")})
    table = changed(images(), "B03", p99_9=1)
    assert flags(table, wells) == {}  # it is meant to be empty
    assert flags(changed(table, "A01", p99_9=1), wells) == {"A01": "near_empty"}


def test_a_plate_of_empty_fields_alone_is_near_empty() -> None:
    assert set(flags(images(contrast=40, low=100))) == set(WELLS[WELL]) - {"B03"}


def test_unusable_images_are_passed_over() -> None:
    table = images()
    lost = (table[WELL] == "B01") & (table[SITE] == 1)
    table[REASON] = table[REASON].mask(lost, "all_zero")
    table["mean"] = table["mean"].mask(lost)
    found = assess_wells(with_near_empty(table, WELLS), WELLS).set_index(WELL)
    assert found["n_sites"].to_dict() == dict.fromkeys(WELLS[WELL], 2) | {"B01": 1}
