"""File names to sites."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from morphoclip.columns import CHANNEL, DETAIL, FILE
from morphoclip.errors import InputError
from morphoclip.imaging.sites import (
    ImageKey,
    index_plate,
    index_plates,
    parse_image_name,
    site_name,
)
from morphoclip.well_names import well_name, well_position

TWO = {"DNA": 5, "ER": 4}


def name(row: int, col: int, field: int, channel: int, plane: int = 1, end: str = "tiff") -> str:
    return f"r{row:02d}c{col:02d}f{field:02d}p{plane:02d}-ch{channel}sk1fk1fl1.{end}"


@given(row=st.integers(1, 32), col=st.integers(1, 48), field=st.integers(1, 120))
def test_names_round_trip(row: int, col: int, field: int) -> None:
    assert parse_image_name(name(row, col, field, 5)) == ImageKey(row, col, field, 1, 5)
    assert well_position(well_name(row, col)) == (row, col)


@pytest.mark.parametrize("end", ["tif", "TIFF", "Tif"])
def test_any_ending_of_a_tiff_is_one(end: str) -> None:
    assert parse_image_name(name(1, 2, 3, 4, end=end)) == (1, 2, 3, 1, 4)


@pytest.mark.parametrize("other", ["Index.idx.xml", "thumbs.db", "r1c1f1p1-ch1.tiff", "a.tiff"])
def test_other_files_are_no_images(other: str) -> None:
    assert parse_image_name(other) is None


@pytest.mark.parametrize(("text", "position"), [("a1", (1, 1)), ("P24", (16, 24)), ("B02", (2, 2))])
def test_wells_are_read_in_any_spelling(text: str, position: tuple[int, int]) -> None:
    assert well_position(text) == position


def test_no_well_is_said_to_be_none() -> None:
    with pytest.raises(InputError, match="'1A' is no well"):
        well_position("1A")


def test_channels_come_in_the_order_of_the_mapping() -> None:
    names = [name(1, 1, 1, 4), name(1, 1, 1, 5), name(1, 1, 1, 6)]
    tables = index_plate("P", "P__x", names, TWO)
    assert tables.site_index[CHANNEL].tolist() == ["DNA", "ER"]
    assert tables.site_index[FILE].tolist() == [names[1], names[0]]
    assert tables.set_aside.empty


def test_a_missing_channel_is_named() -> None:
    names = [name(1, 1, 1, 5), name(1, 2, 1, 4), name(1, 3, 1, 4), name(1, 3, 1, 5)]
    tables = index_plate("P", "P__x", names, TWO)
    assert len(tables.site_index) == 2
    assert tables.set_aside[DETAIL].tolist() == ["missing ER", "missing DNA"]


class Folder:
    def __init__(self, barcode: str, *names: str) -> None:
        self.barcode, self.name, self._names = barcode, f"{barcode}__x", list(names)

    def image_names(self) -> list[str]:
        return self._names


def test_a_plate_without_a_complete_site_is_set_aside_beside_others() -> None:
    lacking, whole = Folder("P", name(1, 1, 1, 5)), Folder("Q", name(1, 1, 1, 5), name(1, 1, 1, 4))
    tables = index_plates([lacking, whole], TWO)
    assert tables.set_aside.iloc[0].tolist() == ["P", "A01", 1, "incomplete", "missing ER"]
    assert set(tables.site_index["Metadata_Plate"]) == {"Q"}
    with pytest.raises(
        InputError, match=r"no plate has a complete site: 1 .* P well A01 site 1 is"
    ):
        index_plates([lacking], TWO)


def test_of_several_planes_the_lowest_is_taken() -> None:
    names = [name(1, 1, 1, 5, plane=2), name(1, 1, 1, 5), name(1, 1, 1, 4)]
    assert index_plate("P", "P__x", names, TWO).site_index[FILE].tolist() == names[1:]


def test_two_files_of_one_image_are_both_named() -> None:
    names = [name(1, 1, 1, 5), name(1, 1, 1, 5, end="tif")]
    with pytest.raises(InputError, match=r"two files .*\.tiff and .*\.tif;"):
        index_plate("P", "P__x", names, TWO)


def test_a_plate_without_any_of_the_channels_is_an_error() -> None:
    with pytest.raises(InputError, match="holds no image of channels"):
        index_plate("P", "P__x", [name(1, 1, 1, 6)], TWO)


def test_stems_are_the_specs() -> None:
    assert site_name("P24", 9) == "r16c24f09"
