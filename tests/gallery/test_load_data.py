"""LoadData tables, the gallery's among them."""

import re

import pandas as pd
import pytest

from morphoclip.datasets.spreadsheet import SpreadsheetDataset
from morphoclip.errors import InputError
from morphoclip.gallery.load_data import ListedImages
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
