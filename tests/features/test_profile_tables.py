"""Profiles in the dialects of other tools."""

import numpy as np
import pandas as pd
import pytest

from morphoclip.columns import PLATE, WELL
from morphoclip.errors import InputError
from morphoclip.features.profile_tables import feature_columns, log_what_is_no_feature, with_places

FEATURES = ["Cells_AreaShape_Area", "Nuclei_Texture_1"]


def test_pycytominers_tables_are_taken_as_they_are() -> None:
    table = pd.DataFrame(
        {
            "Metadata_Plate": ["P", "P"],
            "Metadata_Well": ["a1", "B02"],
            "Metadata_pubchem_cid": [1.0, 2.0],
            "Metadata_ImageNumber": [1, 2],
            FEATURES[0]: [1.0, 2.0],
            FEATURES[1]: [3, 4],
        }
    )
    found = with_places(table, "x")
    assert found[WELL].tolist() == ["A01", "B02"]
    assert feature_columns(found) == FEATURES


def test_cells_of_cytotable_become_the_medians_of_their_wells() -> None:
    table = pd.DataFrame(
        {
            "Metadata_ImageNumber": [1, 1, 2, 3],
            "Image_Metadata_Plate": "P",
            "Image_Metadata_Well": ["A01", "A01", "A01", "A02"],
            "Metadata_Nuclei_Number_Object_Number": [1, 2, 1, 1],
            "Cells_Number_Object_Number": [1, 2, 1, 1],
            FEATURES[0]: [1.0, 2.0, 9.0, 5.0],
            FEATURES[1]: [1.0, np.nan, 3.0, 4.0],
        }
    )
    found = with_places(table, "x").set_index([PLATE, WELL])
    assert list(found.columns) == FEATURES
    assert found.to_numpy().tolist() == [[2.0, 2.0], [5.0, 4.0]]


@pytest.mark.parametrize(
    ("plate", "well"),
    [
        ("Metadata_Assay_Plate_Barcode", "Metadata_well_position"),
        ("Metadata_plate", "Metadata_well"),
        ("plate", "well"),
    ],
)
def test_plates_and_wells_go_by_several_names(plate: str, well: str) -> None:
    found = with_places(pd.DataFrame({plate: ["7"], well: ["C03"], "f": [1.0]}), "x")
    assert found[[PLATE, WELL]].to_numpy().tolist() == [["7", "C03"]]


def test_tables_without_places_are_refused() -> None:
    with pytest.raises(InputError, match=r"x lacks the column\(s\) Metadata_Well \(or Image_Met"):
        with_places(pd.DataFrame({PLATE: ["P"], "f": [1.0]}), "x")
    with pytest.raises(InputError, match=r"x: 1 row\(s\) name no well, e.g. line 3"):
        with_places(pd.DataFrame({PLATE: ["P", "P"], WELL: ["A01", None], "f": [1.0, 2.0]}), "x")


@pytest.mark.parametrize("name", ["", "Unnamed: 0", "index", "level_0", "__index_level_0__"])
def test_an_index_that_a_program_wrote_along_is_no_feature(name: str, caplog) -> None:
    """Shuffled: its name alone says what it is."""
    table = pd.DataFrame({name: [4, 0, 3, 1, 2, 5], "Cells_Area": [1.0, 5, 2, 8, 3, 1]})
    assert feature_columns(table) == ["Cells_Area"]
    log_what_is_no_feature(table, ["Cells_Area"], "x")
    assert "x: 1 column(s) count rows, and are no features" in caplog.text


def test_numbers_of_rows_are_no_feature_by_any_name() -> None:
    table = pd.DataFrame({"well_id": np.arange(7, 15), "Cells_Count": np.arange(8) * 2})
    assert feature_columns(table) == ["Cells_Count"]


def test_columns_that_are_passed_over_are_named_and_counted(caplog) -> None:
    table = pd.DataFrame(
        {
            "Metadata_Plate": ["P"] * 3,
            "text": ["1,5", "2,5", "3,5"],
            "a": [1.0, np.inf, 2.0],
            "b": [1.0, np.nan, 2.0],
            "c": [1.0, 5.0, 2.0],
            "z": [1 + 2j, 0, 0],
        }
    )
    assert feature_columns(table) == ["a", "b", "c"]
    log_what_is_no_feature(table, ["c"], "x")
    assert "x: 2 column(s) hold no real numbers, and are no features: text, z" in caplog.text
    assert "2 column(s) hold a value that is missing or not finite" in caplog.text


@pytest.mark.parametrize("well", [None, "", "A00", "Z99", "A1B", "AG01", "Q", "1", "A٣", "nan"])
def test_what_names_no_well_is_refused_with_its_line(well) -> None:
    table = pd.DataFrame({PLATE: ["P", "P"], WELL: ["A01", well], "f": [1.0, 2.0]})
    with pytest.raises(InputError, match=r"x: 1 row\(s\) name no well, e\.g\. line 3"):
        with_places(table, "x")


def test_a_header_alone_is_refused() -> None:
    with pytest.raises(InputError, match="x has a header and no row"):
        with_places(pd.DataFrame({PLATE: [], WELL: [], "f": []}), "x")


def test_positions_doses_and_huge_numbers_are_no_features_and_said(caplog) -> None:
    table = pd.DataFrame(
        {
            FEATURES[0]: [1.0, 2.0],
            "column": [1, 7],
            "dose": [0.1, 5.0],
            "plate_number": [3, 4],
            "Well_Row": [1, 2],
            "concentration_um": [1, 9],
            FEATURES[1]: [1e300, 2.0],
        }
    )
    assert feature_columns(table) == FEATURES[:1]
    log_what_is_no_feature(table, FEATURES[:1], "x")
    assert "5 column(s) say where a well is or what was given" in caplog.text
    assert "1 column(s) hold a number beyond 1e+18" in caplog.text
