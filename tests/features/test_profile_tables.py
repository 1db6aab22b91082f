"""Profiles in the dialects of other tools."""

import numpy as np
import pandas as pd
import pytest

from morphoclip.columns import PLATE, WELL
from morphoclip.errors import InputError
from morphoclip.features.profile_tables import feature_columns, with_places

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
    with pytest.raises(InputError, match=r"x has 1 row\(s\) without a plate or a well"):
        with_places(pd.DataFrame({PLATE: ["P", "P"], WELL: ["A01", None], "f": [1.0, 2.0]}), "x")
