"""Images to sites."""

import pytest

from morphoclip.columns import CHANNEL, DETAIL, IMAGE_NUMBER, PATH, SOURCE_CHANNEL
from morphoclip.errors import InputError
from morphoclip.imaging.file_names import Channel
from morphoclip.imaging.sites import FoundImage, index_plate, index_plates, site_name

TWO = {"DNA": 5, "ER": 4}


def image(well: str, channel: Channel, plane: int = 1, end: str = "tiff", time: int = 1):
    path = f"{well}-{channel}-{plane}-{time}.{end}"
    return FoundImage("P", well, 1, channel, path, plane=plane, time=time)


def test_channels_come_in_the_order_of_the_mapping() -> None:
    images = [image("A01", 4), image("A01", 5), image("A01", 6)]
    tables = index_plate("P", images, TWO)
    assert tables.site_index[CHANNEL].tolist() == ["DNA", "ER"]
    assert tables.site_index[SOURCE_CHANNEL].tolist() == ["5", "4"]
    assert tables.site_index[PATH].tolist() == [images[1].path, images[0].path]
    assert tables.set_aside.empty


def test_channels_may_be_named_and_lie_in_one_file() -> None:
    images = [FoundImage("P", "A01", 0, c, "a.tif", n) for n, c in enumerate(("dapi", "er"), 1)]
    index = index_plate("P", images, {"ER": "er", "DNA": "dapi"}).site_index
    assert index[[CHANNEL, PATH, IMAGE_NUMBER]].to_numpy().tolist() == [
        ["ER", "a.tif", 2], ["DNA", "a.tif", 1]
    ]  # fmt: skip


def test_a_missing_channel_is_named() -> None:
    images = [image("A01", 5), image("B01", 4), image("C01", 4), image("C01", 5)]
    tables = index_plate("P", images, TWO)
    assert len(tables.site_index) == 2
    assert tables.set_aside[DETAIL].tolist() == ["missing ER", "missing DNA"]


def test_a_plate_without_a_complete_site_is_set_aside_beside_others() -> None:
    lacking, whole = ("P", [image("A01", 5)]), ("Q", [image("A01", 5), image("A01", 4)])
    tables = index_plates([lacking, whole], TWO)
    assert tables.set_aside.iloc[0].tolist() == ["P", "A01", 1, "incomplete", "missing ER"]
    assert set(tables.site_index["Metadata_Plate"]) == {"Q"}
    with pytest.raises(
        InputError, match=r"no plate has a complete site: 1 .* P well A01 site 1 is"
    ):
        index_plates([lacking], TWO)


def test_of_several_planes_the_lowest_is_taken() -> None:
    images = [image("A01", 5, plane=2), image("A01", 5), image("A01", 4)]
    assert index_plate("P", images, TWO).site_index[PATH].tolist() == [i.path for i in images[1:]]


def test_two_files_of_one_image_are_both_named() -> None:
    with pytest.raises(InputError, match=r"two files .*\.tiff and .*\.tif;"):
        index_plate("P", [image("A01", 5), image("A01", 5, end="tif")], TWO)


def test_several_time_points_are_refused() -> None:
    images = [image("A01", c, time=t) for c in (4, 5) for t in (1, 2)]
    with pytest.raises(InputError, match=r"plate P has 2 time points, e\.g\. A01-4-1-1"):
        index_plate("P", images, TWO)


def test_a_plate_without_any_of_the_channels_names_those_that_it_has() -> None:
    with pytest.raises(InputError, match=r"holds no image of channels .* are of 6; set image_feat"):
        index_plate("P", [image("A01", 6)], TWO)


def test_stems_are_the_specs() -> None:
    assert site_name("P24", 9) == "r16c24f09"


def test_an_image_that_stands_for_two_channels_or_sites_is_refused() -> None:
    """As where a LoadData table names one file twice."""
    one = [FoundImage("P", "A01", 1, channel, "a.tif") for channel in (4, 5)]
    with pytest.raises(
        InputError, match=r"1 image\(s\) .* a\.tif for A01 site 1 DNA and A01 site 1 ER"
    ):
        index_plate("P", one, TWO)
    two = [
        FoundImage("P", "A01", site, channel, f"{channel}.tif")
        for site in (1, 2)
        for channel in (4, 5)
    ]
    with pytest.raises(InputError, match=r"2 image\(s\) stand for another channel or site, too"):
        index_plate("P", two, TWO)
