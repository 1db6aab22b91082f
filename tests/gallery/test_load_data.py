"""LoadData tables, the gallery's among them."""

import re

import pandas as pd
import pytest

from morphoclip.datasets.spreadsheet import SpreadsheetDataset
from morphoclip.errors import InputError
from morphoclip.gallery.load_data import ListedImages, TablePerPlate
from morphoclip.imaging.sites import FoundImage, index_plate

ROW = {
    "Metadata_Plate": "P1",
    "Metadata_Well": "a1",
    "Metadata_Site": "3",
    "FileName_OrigDNA": "x.tif",
    "PathName_OrigDNA": "/data/P1/",
    "URL_OrigER": "s3://bucket/y.tif",
}


def table(**changes: str) -> pd.DataFrame:
    return pd.DataFrame([ROW | changes], dtype="str")


def test_folders_and_names_or_urls_are_images() -> None:
    images = ListedImages(table())
    assert images.plates == ["P1"]
    assert sorted(images.of("P1")) == [
        FoundImage("P1", "A01", 3, "DNA", "/data/P1/x.tif"),
        FoundImage("P1", "A01", 3, "ER", "s3://bucket/y.tif"),
    ]


def test_a_blank_name_is_a_channel_that_the_site_lacks() -> None:
    images = ListedImages(table(URL_OrigER="")).of("P1")
    channels = {"DNA": "DNA", "ER": "ER"}
    assert index_plate("P1", images, channels).set_aside["Metadata_detail"].tolist() == [
        "missing ER"
    ]


@pytest.mark.parametrize(
    ("given", "said"),
    [
        (table().drop(columns="Metadata_Site"), "lacks the column(s) Metadata_Site; it has"),
        (table()[list(ROW)[:3]], "lacks the column(s) FileName_Orig<channel>"),
        (table(Metadata_Site="x"), "1 row(s) without a plate, a well or the number of a site"),
        (table(Metadata_Plate=""), "1 row(s) without a plate, a well"),
    ],
)
def test_what_is_no_such_table_says_why(given: pd.DataFrame, said: str) -> None:
    with pytest.raises(InputError, match=re.escape(said)):
        ListedImages(given)


def test_the_gallerys_own_table(real_data) -> None:
    path = str(real_data / "jump/BR00126114_load_data_with_illum.parquet")
    images = ListedImages(SpreadsheetDataset(filepath=path, called="it").load())
    (plate,) = images.plates
    found = index_plate(plate, images.of(plate), {"DNA": "DNA", "MITO": "Mito"}).site_index
    assert len(found) == 2 * 2
    first = found["Metadata_Path"].iloc[0]
    assert first.startswith("s3://cellpainting-gallery/cpg0016-jump/source_4/images/")
    assert first.endswith("/Images/r01c01f01p01-ch5sk1fk1fl1.tiff")


def plates() -> pd.DataFrame:
    return pd.DataFrame([{"Metadata_Plate": "P1", "Metadata_batch": "B", "Metadata_source": "S"}])


def test_each_plate_may_have_a_table_of_its_own() -> None:
    asked: list[str] = []

    def read(place: str) -> pd.DataFrame:
        asked.append(place)
        row = {"Metadata_Plate": "P1", "Metadata_Well": "A01", "Metadata_Site": "1"}
        return pd.DataFrame([row | {"URL_OrigDNA": "s3://x/a.tif"}])

    images = TablePerPlate("s3://b/{source}/{batch}/{plate}/load_data.csv", read, plates())
    assert images.plates == ["P1"]
    assert [(image.well, image.channel, image.path) for image in images.of("P1")] == [
        ("A01", "DNA", "s3://x/a.tif")
    ]
    assert asked == ["s3://b/S/B/P1/load_data.csv"]


def test_a_plate_without_its_table_or_with_anothers_is_told() -> None:
    def absent(place: str) -> pd.DataFrame:
        raise FileNotFoundError(place)

    with pytest.raises(InputError, match=r"plate P1 has no LoadData table at x/P1\.csv"):
        TablePerPlate("x/{plate}.csv", absent, plates()).of("P1")
    row = {"Metadata_Plate": "P2", "Metadata_Well": "A01", "Metadata_Site": "1", "URL_OrigDNA": "a"}
    other = TablePerPlate("x/{plate}.csv", lambda _: pd.DataFrame([row]), plates())
    with pytest.raises(InputError, match="the LoadData table of plate P1 lists"):
        other.of("P1")
    with pytest.raises(InputError, match=r"has a part in braces that is not known of plate P1"):
        TablePerPlate("x/{week}.csv", absent, plates())


def test_illumination_functions_go_with_their_images() -> None:
    row = ROW | {"FileName_IllumDNA": "P1_IllumDNA.npy", "PathName_IllumDNA": "s3://b/illum/"}
    images = ListedImages(pd.DataFrame([row])).of("P1")
    assert {image.channel: image.illumination for image in images} == {
        "DNA": "s3://b/illum/P1_IllumDNA.npy", "ER": None
    }  # fmt: skip
