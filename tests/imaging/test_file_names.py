"""What paths say of images, as each microscope writes them."""

import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from morphoclip.errors import InputError
from morphoclip.imaging.file_names import (
    EXAMPLES,
    PRESETS,
    ImageKey,
    NamePattern,
    channel_key,
    is_tiff,
)
from morphoclip.well_names import well_name, well_position

OPERA = NamePattern("opera_phenix")


@given(
    row=st.integers(1, 32),
    column=st.integers(1, 48),
    field=st.integers(1, 120),
    channel=st.integers(1, 12),
    plane=st.integers(1, 99),
)
def test_names_of_the_opera_round_trip(
    row: int, column: int, field: int, channel: int, plane: int
) -> None:
    name = f"r{row:02d}c{column:02d}f{field:02d}p{plane:02d}-ch{channel}sk1fk1fl1.tiff"
    well = well_name(row, column)
    assert OPERA.read(name) == ImageKey(None, well, field, channel, plane, 1)
    assert well_position(well) == (row, column)


@pytest.mark.parametrize("end", ["tif", "TIFF", "Tif"])
def test_any_ending_of_a_tiff_is_one(end: str) -> None:
    assert OPERA.read(f"r01c02f03p01-ch4sk1fk1fl1.{end}") == ImageKey(None, "A02", 3, 4, 1, 1)


@pytest.mark.parametrize("other", ["Index.idx.xml", "thumbs.db", "r1c1f1p1-ch1.tiff", "a.tiff"])
@pytest.mark.parametrize("preset", PRESETS)
def test_other_files_are_no_images(preset: str, other: str) -> None:
    assert NamePattern(preset).read(other) is None


@pytest.mark.parametrize(
    ("preset", "path", "key"),
    [
        (
            "opera_phenix",
            "BR00117010__2020-11-08T18_18_09-Measurement1/Images/r01c01f09p01-ch5sk1fk1fl1.tiff",
            ("BR00117010", "A01", 9, 5, 1, 1),
        ),
        ("opera_phenix", "b/BR1/r16c24f01p02-ch1sk3fk1fl1.tiff", ("BR1", "P24", 1, 1, 2, 3)),
        ("opera_phenix", "Images/r01c01f01p01-ch1sk1fk1fl1.tiff", (None, "A01", 1, 1, 1, 1)),
        ("imagexpress", "2022-01-03/P7/TimePoint_1/x_B02_s3_w4.tif", ("P7", "B02", 3, 4, 1, 1)),
        (
            "imagexpress",
            "P7/x_y_AB02_s3_w4C0FFEE12-3456-789A-BCDE-F0123456789A.tif",
            ("P7", "AB02", 3, 4, 1, 1),
        ),
        (
            "imagexpress",
            "P7/x_B02_s3_w41C0FFEE2-3456-789A-BCDE-F0123456789A.tif",
            ("P7", "B02", 3, 4, 1, 1),
        ),
        ("imagexpress", "P7/TimePoint_2/ZStep_3/x_B2_w1.TIF", ("P7", "B02", 1, 1, 3, 2)),
        ("imagexpress", "x_B02.tif", (None, "B02", 1, 1, 1, 1)),
        (
            "cellvoyager",
            "P7/AssayPlate_Greiner_#655090_B02_T0001F012L01A02Z03C04.tif",
            ("P7", "B02", 12, 4, 3, 1),
        ),
        ("incell", "P7/B - 02(fld 03 wv DAPI - DAPI).tif", ("P7", "B02", 3, "DAPI - DAPI", 1, 1)),
        (
            "incell",
            "P7/P - 24(fld 1 wv Green - dsRed z 5 time 2).tif",
            ("P7", "P24", 1, "Green - dsRed", 5, 2),
        ),
        ("incell", "P7/B - 2(wv UV - DAPI).tif", ("P7", "B02", 1, "UV - DAPI", 1, 1)),
    ],
)
def test_presets_read_what_microscopes_write(preset: str, path: str, key: tuple) -> None:
    assert NamePattern(preset).read(path) == ImageKey(*key)


def test_thumbnails_are_no_images() -> None:
    name = "P7/x_B02_s3_w4_thumbC0FFEE12-3456-789A-BCDE-F0123456789A.tif"
    assert NamePattern("imagexpress").read(name) is None


@pytest.mark.parametrize("preset", PRESETS)
def test_each_preset_reads_its_own_example_and_no_others(preset: str) -> None:
    read = {other: NamePattern(preset).read(path) for other, path in EXAMPLES.items()}
    assert [other for other, key in read.items() if key is not None] == [preset]


def test_of_a_pattern_of_ones_own_the_first_folder_is_the_plate() -> None:
    pattern = NamePattern(r"(?P<well>[A-H]\d\d)-(?P<site>\d)-(?P<channel>\w+)\.tif")
    assert pattern.read("P7/day 2/C05-0-dapi.tif") == ImageKey("P7", "C05", 0, "dapi", 1, 1)
    assert pattern.read("C05-0-dapi.tif") == ImageKey(None, "C05", 0, "dapi", 1, 1)
    assert pattern.read("P7/C05-0-dapi.tif.bak") is None
    assert pattern.plate_of_folder("P7") == "P7"


def test_a_pattern_may_say_where_the_plate_is() -> None:
    pattern = NamePattern(r"(?P<plate>\w+)/[^/]+/(?P<row>\d+)_(?P<column>\d+)\.tif")
    assert pattern.read("screen/P7/x/3_12.tif") == ImageKey("P7", "C12", 1, 1, 1, 1)
    assert pattern.plate_of_folder("screen") is None
    assert not pattern.names_channel


def test_only_the_operas_folders_are_known_before_they_are_listed() -> None:
    assert OPERA.plate_of_folder("BR1__x-Measurement1") == "BR1"
    assert NamePattern("imagexpress").plate_of_folder("2022-01-03") is None


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ("(?P<well>[", "is no regular expression"),
        ("phenix", "does not say where the well is"),
        (r"(?P<row>\w)\.tif", "does not say where the well is"),
        (r"(?P<well>\w+)_(?P<field>\d)\.tif", "has the group(s) field; groups are plate, well"),
    ],
)
def test_what_is_no_pattern_says_why(given: str, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        NamePattern(given)


def test_what_is_no_well_or_no_number_says_so() -> None:
    with pytest.raises(InputError, match="'A0x' is no well"):
        NamePattern(r"(?P<well>\w+)\.tif").read("A0x.tif")
    with pytest.raises(InputError, match=r"the group site holds 'x' in A01_x\.tif"):
        NamePattern(r"(?P<well>\w+)_(?P<site>\w)\.tif").read("A01_x.tif")


def test_numbers_of_channels_are_read_as_numbers() -> None:
    assert (channel_key("01"), channel_key("DAPI")) == (1, "DAPI")


@pytest.mark.parametrize(("text", "position"), [("a1", (1, 1)), ("P24", (16, 24)), ("B02", (2, 2))])
def test_wells_are_read_in_any_spelling(text: str, position: tuple[int, int]) -> None:
    assert well_position(text) == position


def test_no_well_is_said_to_be_none() -> None:
    with pytest.raises(InputError, match="'1A' is no well"):
        well_position("1A")


def test_thumbnails_and_hidden_files_are_no_images() -> None:
    names = ["P/a.TIF", "a.tiff", "P/a_w1_thumb0AB.tif", "P/._a.tif", "P/.hidden/a.tif", "a.png"]
    read = NamePattern("imagexpress").read
    assert read("P/._exp_A01_s1_w1.tif") is None  # what macOS leaves on shared disks
    assert read("P/exp_A01_s1_w1.tif") is not None
    assert [name for name in names if is_tiff(name)] == ["P/a.TIF", "a.tiff", "P/.hidden/a.tif"]
