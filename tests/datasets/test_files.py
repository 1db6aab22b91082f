"""Files on disk: whole or not at all, and read back safely."""

import os
import re
from pathlib import Path

import openpyxl
import pandas as pd
import pytest
import torch
from kedro.io import DatasetError
from lab_plates import lab, wells_table

from morphoclip.columns import PLATE
from morphoclip.datasets.external_table import ExternalTableDataset
from morphoclip.datasets.partitions import Partitions, PlateTablesDataset
from morphoclip.datasets.plate_images import PlateImagesDataset
from morphoclip.datasets.spreadsheet import SpreadsheetDataset
from morphoclip.datasets.text_table import TextTableDataset
from morphoclip.datasets.torch_file import TorchFileDataset
from morphoclip.errors import InputError
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.features.site_qc import by_plate
from morphoclip.gallery.proposal import first_images

TENSORS = {"type": "morphoclip.datasets.torch_file.TorchFileDataset"}


def plate_features(sites: int = 3) -> PlateFeatures:
    tokens = torch.arange(sites * 8.0).reshape(sites, 2, 4)
    wells = [("A01", 1), ("A01", 2), ("P24", 9)][:sites]
    return PlateFeatures.pack("BR1", wells, tokens, {"model": "m"})


def test_plate_features_survive_the_disk_mapped_and_safely(tmp_path) -> None:
    dataset = TorchFileDataset(
        filepath=str(tmp_path / "BR1.pt"),
        codec="morphoclip.features.plate_features.PlateFeatures",
        mmap=True,
    )
    dataset.save(plate_features())
    loaded = dataset.load()
    assert torch.equal(loaded.tokens, plate_features().tokens)
    assert loaded.tokens.dtype == torch.float16
    assert loaded.sites.iloc[2].tolist() == ["BR1", "P24", 9]
    assert loaded.fingerprint == {"model": "m"}
    assert [path.name for path in tmp_path.iterdir()] == ["BR1.pt"]


def test_a_packed_file_is_hardly_larger_than_its_numbers(tmp_path) -> None:
    batch = torch.randn(500, 5, 64)
    features = PlateFeatures.pack("P", [("A01", n) for n in range(1, 101)], batch[:100], {})
    dataset = TorchFileDataset(
        filepath=str(tmp_path / "P.pt"), codec="morphoclip.features.plate_features.PlateFeatures"
    )
    dataset.save(features)
    assert (tmp_path / "P.pt").stat().st_size < 1.05 * features.tokens.nbytes


def test_what_would_run_code_on_loading_is_refused(tmp_path) -> None:
    torch.save({"payload": print}, tmp_path / "x.pt")
    with pytest.raises(DatasetError, match="none of it was run"):
        TorchFileDataset(filepath=str(tmp_path / "x.pt")).load()


def test_numbers_too_large_for_half_precision_are_refused() -> None:
    with pytest.raises(ValueError, match="not finite in half precision"):
        PlateFeatures.pack("P", [("A01", 1)], torch.full((1, 1, 1), 1e6), {})


def test_an_absent_folder_is_no_partitions(tmp_path) -> None:
    partitions = Partitions(path=str(tmp_path / "none"), dataset=TENSORS, filename_suffix=".pt")
    assert partitions.load() == {}
    assert not partitions.exists()
    optional = Partitions(
        path=str(tmp_path / "none"), dataset=TENSORS, filename_suffix=".pt", must_exist=False
    )
    assert optional.exists()


def test_a_partition_that_was_half_written_is_none(tmp_path) -> None:
    partitions = Partitions(path=str(tmp_path), dataset=TENSORS, filename_suffix=".pt")
    partitions.save({"BR1/r01c01f01": torch.ones(2)})
    (tmp_path / "BR1" / "r01c01f02.pt.77.partial").write_bytes(b"half")
    loaded = partitions.load()
    assert list(loaded) == ["BR1/r01c01f01"]
    assert torch.equal(loaded["BR1/r01c01f01"](), torch.ones(2))


def test_a_failed_save_leaves_no_file_under_the_final_name(tmp_path) -> None:
    partitions = Partitions(path=str(tmp_path), dataset=TENSORS, filename_suffix=".pt")
    with pytest.raises(DatasetError):
        partitions.save({"BR1/r01c01f01": (n for n in range(3))})
    assert partitions.load() == {}


def test_plate_tables_replace_their_own_plates_only(tmp_path) -> None:
    dataset = PlateTablesDataset(path=str(tmp_path / "qc"))
    dataset.save(by_plate(pd.DataFrame({PLATE: ["P", "P", "Q"], "n": [1, 2, 3]}), ["P", "Q"]))
    dataset.save(by_plate(pd.DataFrame({PLATE: ["P"], "n": [9]}), ["P"]))
    assert dataset.load().to_numpy().tolist() == [["P", 9], ["Q", 3]]


def test_a_plate_without_rows_loses_those_it_had(tmp_path) -> None:
    dataset = PlateTablesDataset(path=str(tmp_path / "set_aside"))
    dataset.save(by_plate(pd.DataFrame({PLATE: ["P", "Q"], "n": [1, 3]}), ["P", "Q"]))
    nothing = pd.DataFrame({PLATE: pd.Series(dtype="str"), "n": pd.Series(dtype="int")})
    dataset.save(by_plate(nothing, ["P"]))
    assert dataset.load()[PLATE].tolist() == ["Q"]


def test_optional_plate_tables_that_no_run_wrote_are_none(tmp_path) -> None:
    absent = PlateTablesDataset(path=str(tmp_path / "qc"), optional=True)
    assert absent.exists()
    assert absent.load() is None
    assert not PlateTablesDataset(path=str(tmp_path / "qc")).exists()


@pytest.mark.parametrize("name", ["table.csv", "table.tsv", "table.txt"])
def test_text_tables_keep_what_is_written(tmp_path, name: str) -> None:
    table = pd.DataFrame({"a": ["NA", "", "007"], "b": ["x,y", "nan", '"q"']})
    dataset = TextTableDataset(filepath=str(tmp_path / name))
    dataset.save(table)
    pd.testing.assert_frame_equal(dataset.load(), table)


def test_an_optional_table_that_is_not_given_is_none() -> None:
    dataset = TextTableDataset(filepath=None)
    assert dataset.exists()
    assert dataset.load() is None


def test_real_plate_folders_are_listed_and_read(gallery) -> None:
    dataset = PlateImagesDataset(path=str(gallery / "images/2020_11_04_CPJUMP1/images"))
    files = dataset.load()
    assert files.folders() == ["BR00117006__2020-11-02T19_54_45-Measurement1"]
    paths = files.files(files.folders()[0])
    assert len(paths) == 3
    assert files.read(paths[0])[:2] == b"II"
    assert len(dataset.preview()) > 10_000


WELLS = pd.DataFrame({"plate": ["007", "8"], "note": ["a, b", ""]}, dtype="str")


def spreadsheet(path: Path) -> SpreadsheetDataset:
    return SpreadsheetDataset(filepath=str(path), called="the table")


@pytest.mark.parametrize("name", ["a.csv", "a.tsv", "a.xlsx", "a.parquet", "a.CSV.gz", "b.csv"])
def test_a_labs_table_is_text_in_any_format(tmp_path, name: str) -> None:
    path = tmp_path / name
    match name:
        case "a.xlsx":
            WELLS.to_excel(path, index=False)
        case "a.parquet":
            WELLS.to_parquet(path)
        case "a.tsv":
            WELLS.to_csv(path, index=False, sep="\t")
        case "b.csv":  # as Excel writes it where the comma is the decimal sign
            WELLS.to_csv(path, index=False, sep=";", encoding="utf-8-sig")
        case _:
            WELLS.to_csv(path, index=False)
    pd.testing.assert_frame_equal(spreadsheet(path).load(), WELLS)
    assert spreadsheet(path).exists()


def test_numbers_are_text_without_a_point(tmp_path) -> None:
    table = pd.DataFrame({"plate": [1, 2], "dose": [5.0, float("nan")], "time": [0.5, 48.0]})
    table.to_parquet(tmp_path / "a.parquet")
    table.to_excel(tmp_path / "a.xlsx", index=False)
    for name in ("a.parquet", "a.xlsx"):
        assert spreadsheet(tmp_path / name).load().to_dict("list") == {
            "plate": ["1", "2"], "dose": ["5", ""], "time": ["0.5", "48"]
        }  # fmt: skip


def merged_cells(path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.append(["plate", "well"])
    sheet.append(["P1", "A01"])
    sheet.append([None, "A02"])
    sheet.merge_cells("A2:A3")
    book.save(path)


def formulas(path: Path) -> None:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.append(["well", "concentration"])
    sheet.append(["A01", "=5*2"])
    book.save(path)


def lists(path: Path) -> None:
    pd.DataFrame({"well": ["A01"], "targets": [["HDAC1"]]}).to_parquet(path)


def test_shares_in_excel_are_read_as_they_are_shown(tmp_path) -> None:
    book = openpyxl.Workbook()
    sheet = book.worksheets[0]
    sheet.append(["well", "concentration"])
    sheet.append(["A01", 0.1])
    sheet["B2"].number_format = "0%"
    book.save(tmp_path / "a.xlsx")
    assert spreadsheet(tmp_path / "a.xlsx").load()["concentration"].tolist() == ["10%"]


def test_named_indices_of_parquet_are_columns(tmp_path) -> None:
    table = pd.DataFrame({"plate": ["P"], "well": ["A01"], "x": [1.0]}).set_index(["plate", "well"])
    table.to_parquet(tmp_path / "a.parquet")
    assert list(spreadsheet(tmp_path / "a.parquet").load()) == ["plate", "well", "x"]
    external = ExternalTableDataset(filepath=str(tmp_path / "a.parquet")).load()
    assert list(external) == ["plate", "well", "x"]


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.csv", "Metadata_Plate,x,x\nP,1,2\n", "1 column name(s) more than once, e.g. x"),
        ("a.csv", "Metadata_Plate;x\nP;1\n", "are set apart by ;: save it with commas"),
        ("a.csv", "Metadata_Plate,x\nP,1,2\nP,1,2\n", "rows have more cells than the header"),
    ],
)
def test_profiles_with_a_header_that_misleads_are_refused(tmp_path, name, content, said) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(DatasetError, match=re.escape(said)):
        ExternalTableDataset(filepath=str(tmp_path / name)).load()


@pytest.mark.parametrize(
    ("content", "said"),
    [
        ("a\tb\n1\t2\t3\n1\t2\t3\n", "rows have more cells than the 2 columns of its first"),
        ("a\ta\n1\t2\n", "1 column name(s) more than once, e.g. a"),
    ],
)
def test_tables_of_a_gallery_with_shifted_columns_are_refused(tmp_path, content, said) -> None:
    (tmp_path / "a.tsv").write_text(content)
    with pytest.raises(DatasetError, match=re.escape(said)):
        TextTableDataset(filepath=str(tmp_path / "a.tsv")).load()


@pytest.mark.parametrize("kind", [SpreadsheetDataset, ExternalTableDataset, TextTableDataset])
def test_a_pipe_is_no_table(tmp_path, kind) -> None:
    os.mkfifo(tmp_path / "a.csv")
    options = {"called": "the table"} if kind is SpreadsheetDataset else {}
    with pytest.raises(DatasetError, match="it is a pipe or a device"):
        kind(filepath=str(tmp_path / "a.csv"), **options).load()


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.xlsx", formulas, "1 cell(s) are formulas without a value, e.g. B2; open and save"),
        ("a.parquet", lists, "a cell holds several values, ['HDAC1']: write one text"),
        (
            "a.csv",
            "a,b\n1,2,3\n",
            "1 row(s) have more or fewer cells than the 2 columns, e.g. row 2",
        ),
        ("a.csv", "a,a\n1,2\n", "two columns are called a"),
        ("a.csv", "", "it is empty"),
        ("a.csv", b"a,b\n\xff\xfe,2\n", "cannot be read as a table"),
        ("a.csv", 'a,b\n"1,2\n', "line 2: unexpected end of data"),
        ("a.doc", "a,b\n1,2\n", "is no table that is read: save it as .csv"),
        ("a.xlsx", "a,b\n", "is no Excel file; save it again"),
        ("a.parquet", "a,b\n", "cannot be read as a table"),
        ("a.xlsx", merged_cells, "the sheet Sheet has 1 merged cell(s), e.g. A2:A3; unmerge"),
    ],
)
def test_a_table_that_cannot_be_read_says_why(tmp_path, name: str, content, said: str) -> None:
    path = tmp_path / name
    if callable(content):
        content(path)
    else:
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    with pytest.raises(DatasetError, match=re.escape(said)) as caught:
        spreadsheet(path).load()
    assert isinstance(caught.value.__cause__, InputError)


def test_what_is_replaced_is_not_read(tmp_path) -> None:
    gone = str(tmp_path / "gone.csv")
    assert TextTableDataset(filepath=gone, unless="another").load() is None
    assert TextTableDataset(filepath=gone, unless="another").exists()
    folder = Partitions(path=str(tmp_path), dataset="pandas.ParquetDataset", unless="another")
    (tmp_path / "a.parquet").write_bytes(b"")
    assert folder.load() == {}
    assert folder.exists()
    images = PlateImagesDataset(path=gone, instead=str(tmp_path))
    assert images.load().files() == ["a.parquet"]


@pytest.mark.parametrize("road", ["imagexpress", "RGB", "LoadData", "OME-Zarr"])
def test_images_of_any_source_have_a_preview(tmp_path, road: str) -> None:
    table = wells_table(24)
    lab(tmp_path, road, table[table["plate"] == "P1"].head(2))
    place = tmp_path / "images"
    dataset = PlateImagesDataset(path="nowhere", instead=str(place))
    if road == "LoadData":
        dataset = PlateImagesDataset(path="nowhere", instead=str(place / "load_data.parquet"))
    images = first_images(dataset.load())
    assert {(image.well, image.site) for image in images} == {("A01", 1), ("A02", 1)}
    assert len({image.channel for image in images}) == 3
    assert len(dataset.preview()) > 5_000


def test_a_preview_of_no_images_says_so(tmp_path) -> None:
    assert len(PlateImagesDataset(path=str(tmp_path)).preview()) > 1_000


def test_files_of_several_endings_are_partitions_without_them(tmp_path) -> None:
    for name in ("a.csv", "b.txt", "c.md"):
        (tmp_path / name).write_text("x,y\n1,2\n" if name == "a.csv" else "x\ty\n1\t2\n")
    dataset = Partitions(
        path=str(tmp_path),
        endings=[".txt", ".csv"],
        dataset={"type": "morphoclip.datasets.text_table.TextTableDataset"},
    )
    loaded = {name: load()["y"].tolist() for name, load in dataset.load().items()}
    assert loaded == {"a": ["2"], "b": ["2"]}
    dataset.save({"d": pd.DataFrame({"x": ["1"], "y": ["5"]})})
    assert (tmp_path / "d.txt").exists()
    assert dataset.load()["d"]()["y"].tolist() == ["5"]
