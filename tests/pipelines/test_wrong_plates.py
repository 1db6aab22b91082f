"""Wrong tables and folders, from files to the sentence that each of them gets.

The sentences are in ``golden/wrong_plates.csv``; ``python tests/pipelines/test_wrong_plates.py``
writes it anew, to be read before it is committed.
"""

import csv
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import ngio
import numpy as np
import openpyxl
import pandas as pd
import pytest
import tifffile
from pydantic import ValidationError

from morphoclip.cli.explain import explain
from morphoclip.datasets.plate_images import PlateImagesDataset
from morphoclip.datasets.spreadsheet import SpreadsheetDataset
from morphoclip.features.config import ImageFeaturesConfig, TextFeaturesConfig
from morphoclip.gallery.metadata import describe_wells, index_wells, read_perturbations
from morphoclip.gallery.source import IngestionConfig
from morphoclip.perturbations.wording import PromptTemplates
from morphoclip.pipelines.ingestion.nodes import check_prompts, index_sites

GOLDEN = Path(__file__).parents[1] / "golden" / "wrong_plates.csv"
IMAGE = np.arange(64, dtype=np.uint16).reshape(8, 8)


class Plates:
    """Two plates of three wells, two channels, and their table: as they should be."""

    def __init__(self, folder: Path) -> None:
        self.folder, self.images = folder, folder / "images"
        for plate in ("P1", "P2"):
            for well in ("A01", "A02", "B01"):
                for channel in (1, 2):
                    self.image(f"{plate}/x_{well}_s1_w{channel}.tif")
        self.table = pd.DataFrame(
            {
                "plate": ["P1"] * 3 + ["P2"] * 3,
                "well": ["A01", "A02", "B01"] * 2,
                "perturbation": ["DMSO", "aspirin", "taxol"] * 2,
                "control": ["negcon", "", ""] * 2,
            }
        )
        self.path: Path = folder / "wells.csv"
        self.is_written = False
        self.ingestion: dict[str, Any] = {"image_names": "imagexpress", "experiment": "other"}
        self.source: dict[str, Any] = {"root": "nowhere", "batch": "b"}
        self.channels: Any = "DNA=1+ER=2"
        self.place: Path = self.images

    def image(self, name: str, image: np.ndarray = IMAGE) -> Path:
        path = self.images / name
        path.parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(path, image)
        return path

    def write(self, content: str | bytes, name: str = "wells.csv") -> None:
        self.path = self.folder / name
        self.path.write_bytes(content if isinstance(content, bytes) else content.encode())
        self.is_written = True

    def change(self, line: int, **cells: str) -> None:
        for column, value in cells.items():
            if column not in self.table:
                self.table[column] = ""
            self.table.loc[line - 2, column] = value

    def ingest(self) -> None:
        """What the pipeline ingestion does, node by node."""
        if not self.is_written:
            self.table.to_csv(self.path, index=False)
        config = IngestionConfig.model_validate(
            self.ingestion | {"source": self.source | {"wells": str(self.path)}}
        )
        features = ImageFeaturesConfig.model_validate(
            {"channels": self.channels, "backbone": {"model_id": "org/vit"}}
        )
        called = "the wells table"
        table = SpreadsheetDataset(filepath=str(self.path), called=called).load()
        described = describe_wells(table, {}, config)
        perturbations = read_perturbations(described, {}, None, None)
        images = PlateImagesDataset(path=str(self.place)).load()
        tables = index_sites(images, described, None, config, features)
        wells = index_wells(
            tables.site_index, described, None, {}, perturbations, None, config, tables.set_aside
        )
        text = TextFeaturesConfig.model_validate({"backbone": {"kind": "ngrams"}})
        check_prompts(perturbations, wells, text, PromptTemplates())


FAULTS: dict[str, Callable[[Plates], None]] = {}


def fault(name: str) -> Callable[[Callable[[Plates], None]], None]:
    def add(make: Callable[[Plates], None]) -> None:
        FAULTS[name] = make

    return add


# cells and columns of the table


def _cell(name: str, line: int, **cells: str) -> None:
    FAULTS[name] = lambda plates: plates.change(line, **cells)


_cell("a well listed twice", 3, well="a1")
_cell("a well that is none", 3, well="well 3")
_cell("a well off every plate", 3, well="AG01")
_cell("a blank plate", 3, plate="")
_cell("a blank well", 3, well="")
_cell("an unknown control word", 3, control="vehicle")
_cell("a treatment without a name or a control", 3, perturbation="")
_cell("an empty well that names a compound", 3, control="empty")
_cell("a negative control that is a treatment elsewhere", 2, control="")
_cell("a dose without a unit", 3, concentration="5")
_cell("a decimal comma", 3, concentration="0,5", unit="uM")
_cell("a dose in words", 3, concentration="high", unit="uM")
_cell("a negative dose", 3, concentration="-1", unit="uM")
_cell("an unknown unit", 3, concentration="5", unit="drops")
_cell("an unknown modality", 3, modality="peptide")
_cell("a gene that Excel made a date", 3, gene="2024-03-01 00:00:00")
_cell("a timepoint in words", 3, timepoint="overnight")


@fault("two names of one ID")
def _(plates: Plates) -> None:
    plates.change(3, name="aspirin A")
    plates.change(6, name="aspirin B")


@fault("two cell types on a plate")
def _(plates: Plates) -> None:
    plates.change(2, cell_type="U2OS")
    plates.change(3, cell_type="A549")


@fault("two modalities on a plate")
def _(plates: Plates) -> None:
    plates.change(2, modality="compound")
    plates.change(3, modality="orf")


@fault("one dose left blank of several")
def _(plates: Plates) -> None:
    plates.table["perturbation"] = ["DMSO", "aspirin", "aspirin", "DMSO", "aspirin", "taxol"]
    plates.change(3, concentration="1", unit="uM")
    plates.change(4, concentration="2", unit="uM")


@fault("guides without a gene")
def _(plates: Plates) -> None:
    plates.table["modality"] = "crispr"


@fault("no column of wells")
def _(plates: Plates) -> None:
    plates.table = plates.table.rename(columns={"well": "where"})


@fault("no column of plates or perturbations")
def _(plates: Plates) -> None:
    plates.table = plates.table[["well"]]


@fault("two columns for one thing")
def _(plates: Plates) -> None:
    plates.table["Metadata_Well"] = plates.table["well"]


@fault("well_columns of a column that is not there")
def _(plates: Plates) -> None:
    plates.ingestion["well_columns"] = "plate=Barcode"


@fault("well_columns of a name that is not ours")
def _(plates: Plates) -> None:
    plates.ingestion["well_columns"] = "dosage=plate"


# files of the table


@fault("a table without rows")
def _(plates: Plates) -> None:
    plates.table = plates.table.iloc[:0]


@fault("an empty file")
def _(plates: Plates) -> None:
    plates.write("")


@fault("rows of several lengths")
def _(plates: Plates) -> None:
    plates.write("plate,well,perturbation\nP1,A01,x\nP1,A02\n")


@fault("an open quotation mark")
def _(plates: Plates) -> None:
    plates.write('plate,well,perturbation\nP1,A01,"x\nP1,A02,y\n')


@fault("a file in another encoding")
def _(plates: Plates) -> None:
    plates.write("plate,well,perturbation\nP1,A01,µ\n".encode("latin-1"))


@fault("a column called twice")
def _(plates: Plates) -> None:
    plates.write("plate,well,well,perturbation\nP1,A01,A01,x\n")


@fault("a Word file")
def _(plates: Plates) -> None:
    plates.write("x", "wells.docx")


@fault("an Excel file that is none")
def _(plates: Plates) -> None:
    plates.write("plate,well\n", "wells.xlsx")


@fault("an Excel sheet with merged cells")
def _(plates: Plates) -> None:
    book = openpyxl.Workbook()
    for row in [list(plates.table.columns), *plates.table.to_numpy().tolist()]:
        book.active.append(row)
    book.active.merge_cells("A2:A4")
    plates.path, plates.is_written = plates.folder / "wells.xlsx", True
    book.save(plates.path)


@fault("a damaged Parquet file")
def _(plates: Plates) -> None:
    plates.write(b"PAR1 and no more", "wells.parquet")


# images and the table


@fault("a plate of the images that is not in the table")
def _(plates: Plates) -> None:
    plates.table = plates.table[plates.table["plate"] == "P1"]


@fault("a chosen plate without images")
def _(plates: Plates) -> None:
    plates.ingestion["plates"] = "P1+P9"


@fault("plates called otherwise in the table")
def _(plates: Plates) -> None:
    plates.table["plate"] = "Plate_" + plates.table["plate"].str[1:]


@fault("a selection of JUMP's without its metadata")
def _(plates: Plates) -> None:
    plates.ingestion["plates"] = "source_4/TARGET2"


# folders


@fault("an empty folder")
def _(plates: Plates) -> None:
    plates.place = plates.folder / "nothing"
    plates.place.mkdir()


@fault("a plate folder without files")
def _(plates: Plates) -> None:
    plates.ingestion["image_names"] = r"x_(?P<well>\w+)_s(?P<site>\d)_w(?P<channel>\d)\.tif"
    (plates.images / "P3").mkdir()


@fault("images that no pattern describes")
def _(plates: Plates) -> None:
    for path in plates.images.rglob("*.tif"):
        path.rename(path.with_name(path.name.replace("_", "-").replace("A0", "").replace("B0", "")))


@fault("images of another microscope than was said")
def _(plates: Plates) -> None:
    plates.ingestion["image_names"] = "cellvoyager"


@fault("two files of one image")
def _(plates: Plates) -> None:
    plates.image("P1/y_A01_s1_w1.tif")


@fault("two folders of one barcode")
def _(plates: Plates) -> None:
    plates.ingestion["image_names"] = "opera_phenix"
    for run in ("1", "2"):
        plates.image(f"P1__run{run}/Images/r01c01f01p01-ch1sk1fk1fl1.tiff")


@fault("several time points")
def _(plates: Plates) -> None:
    for time in (1, 2):
        for channel in (1, 2):
            plates.image(f"P1/TimePoint_{time}/x_A02_s2_w{channel}.tif")


@fault("a channel that no plate has")
def _(plates: Plates) -> None:
    plates.channels = "DNA=1+ER=7"


@fault("channels by names where files have numbers")
def _(plates: Plates) -> None:
    plates.channels = "DNA=dapi+ER=fitc"


@fault("two of our channels from one of the source's")
def _(plates: Plates) -> None:
    plates.channels = "DNA=1+ER=1"


@fault("a channel named twice")
def _(plates: Plates) -> None:
    plates.channels = "DNA=1+DNA=2"


@fault("channels that are joined by commas")
def _(plates: Plates) -> None:
    plates.channels = "DNA:1,ER:2"


@fault("a name whose well is none")
def _(plates: Plates) -> None:
    plates.ingestion["image_names"] = r"(?P<plate>\w+)/x_(?P<well>.+)_s1_w(?P<channel>\d)\.tif"
    plates.image("P1/x_ZZ99_s1_w1.tif")


# patterns


@fault("a pattern without a well")
def _(plates: Plates) -> None:
    plates.ingestion["image_names"] = r"(?P<plate>\w+)/.*w(?P<channel>\d)\.tif"


@fault("a pattern with a group that is not known")
def _(plates: Plates) -> None:
    plates.ingestion["image_names"] = r"(?P<well>\w+)_(?P<field>\d)\.tif"


@fault("a pattern that is no regular expression")
def _(plates: Plates) -> None:
    plates.ingestion["image_names"] = r"(?P<well>\w+"


# other roads


@fault("a LoadData table without plates")
def _(plates: Plates) -> None:
    plates.place = plates.folder / "load_data.csv"
    plates.place.write_text("Metadata_Well,Metadata_Site,FileName_OrigDNA\nA01,1,x.tif\n")


@fault("a LoadData table without images")
def _(plates: Plates) -> None:
    plates.place = plates.folder / "load_data.csv"
    plates.place.write_text("Metadata_Plate,Metadata_Well,Metadata_Site\nP1,A01,1\n")


@fault("a LoadData table that lists an image twice")
def _(plates: Plates) -> None:
    plates.place = plates.folder / "load_data.csv"
    row = "P1,A01,1,a.tif,b.tif\n"
    plates.place.write_text(
        f"Metadata_Plate,Metadata_Well,Metadata_Site,URL_OrigDNA,URL_OrigER\n{row}{row}"
    )
    plates.channels = "DNA+ER"


@fault("a LoadData row without a site")
def _(plates: Plates) -> None:
    plates.place = plates.folder / "load_data.csv"
    plates.place.write_text(
        "Metadata_Plate,Metadata_Well,Metadata_Site,URL_OrigDNA,URL_OrigER\nP1,A01,,a.tif,b.tif\n"
    )


@fault("an OME-Zarr folder that is no plate")
def _(plates: Plates) -> None:
    plates.place = plates.folder / "zarr"
    (plates.place / "P1.zarr").mkdir(parents=True)


@fault("an OME-Zarr field that was never written")
def _(plates: Plates) -> None:
    plates.place = plates.folder / "zarr"
    well = ngio.ImageInWellPath(row="A", column="1", path="0")
    ngio.create_empty_plate(plates.place / "P1.zarr", name="x", images=[well])


@fault("an OME-Zarr plate with other channels than were said")
def _(plates: Plates) -> None:
    plates.place = plates.folder / "zarr"
    well = ngio.ImageInWellPath(row="A", column="1", path="0")
    plate = ngio.create_empty_plate(plates.place / "P1.zarr", name="x", images=[well])
    ngio.create_ome_zarr_from_array(
        plate.get_image_store("A", "1", "0"),
        np.stack([IMAGE, IMAGE]),
        pixelsize=1.0,
        levels=1,
        axes_names=("c", "y", "x"),
        channels_meta=["Hoechst", "ConA"],
    )
    plates.channels = "DNA+ER"


@fault("files of several channels that are damaged")
def _(plates: Plates) -> None:
    plates.ingestion["image_names"] = r"(?P<plate>\w+)/x_(?P<well>\w+)_s1_w1\.tif"
    for path in plates.images.rglob("*.tif"):
        path.write_bytes(b"II*\0")


def sentence_of(make: Callable[[Plates], None], folder: Path) -> str:
    """What a fault ends in; "" where nothing is said."""
    plates = Plates(folder)
    make(plates)
    try:
        plates.ingest()
    except ValidationError as error:
        text = "; ".join(e["msg"].removeprefix("Value error, ") for e in error.errors())
    except Exception as error:
        explained = explain(error)
        if explained is None:
            raise
        text = explained
    else:
        return ""
    return text.replace(str(folder), "<folder>").replace("\n", " ")


def test_as_they_should_be_nothing_is_said(tmp_path) -> None:
    assert sentence_of(lambda _: None, tmp_path) == ""


@pytest.mark.parametrize("name", FAULTS)
def test_each_fault_ends_in_its_sentence(tmp_path, name: str) -> None:
    with GOLDEN.open(encoding="utf-8", newline="") as file:
        golden = {row["fault"]: row["sentence"] for row in csv.DictReader(file)}
    assert set(golden) == set(FAULTS)
    assert sentence_of(FAULTS[name], tmp_path) == golden[name]
    assert golden[name]


def write_golden() -> None:
    with GOLDEN.open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file, lineterminator="\n")
        rows.writerow(["fault", "sentence"])
        for name, make in FAULTS.items():
            with tempfile.TemporaryDirectory() as folder:
                rows.writerow([name, sentence_of(make, Path(folder))])


if __name__ == "__main__":
    sys.exit(write_golden())
