"""``kedro init-plates``: what it finds in folders, and what it writes."""

import re
from pathlib import Path

import ngio
import numpy as np
import pandas as pd
import pytest
import tifffile
import yaml
from click.testing import CliRunner, Result

from morphoclip.cli.init_plates import init_plates
from morphoclip.columns import PLATE, WELL
from morphoclip.errors import InputError
from morphoclip.gallery.image_files import ImageFiles
from morphoclip.gallery.proposal import best_pattern, covered, names_for, propose
from morphoclip.imaging.file_names import EXAMPLES, NamePattern
from morphoclip.perturbations.well_columns import likely_columns

IMAGE = np.arange(64, dtype=np.uint16).reshape(8, 8)


@pytest.fixture
def project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    (tmp_path / "pyproject.toml").write_text('[tool.kedro]\npackage_name = "morphoclip"\n')
    (tmp_path / "conf").mkdir()
    monkeypatch.chdir(tmp_path)
    monkeypatch.delenv("KEDRO_ENV", raising=False)
    return tmp_path


def write(folder: Path, *names: str, image: np.ndarray = IMAGE) -> Path:
    for name in names:
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(folder / name, image)
    return folder


def screen(project: Path) -> Path:
    """Two plates of 2 wells, 2 sites, 2 channels, and a file that is no image."""
    folder = write(
        project / "screen",
        *(
            f"{plate}/{plate}_{well}_s{site}_w{channel}.tif"
            for plate in ("P1", "P2")
            for well in ("A01", "A02")
            for site in (1, 2)
            for channel in (1, 2)
        ),
    )
    (folder / "P1" / "notes.txt").write_text("x")
    return folder


def wells(project: Path, *rows: str) -> Path:
    path = project / "wells.csv"
    path.write_text("\n".join(("Barcode,Well,Compound,Control", *rows)) + "\n")
    return path


def invoke(*arguments: object, answer: str = "") -> Result:
    return CliRunner().invoke(init_plates, [str(a) for a in arguments], input=answer)


ROWS = ("P1,A01,DMSO,negcon", "P1,A02,taxol,", "P2,A01,DMSO,negcon", "P2,A02,taxol,")


def test_a_folder_and_a_table_become_a_configuration(project) -> None:
    images, table = screen(project), wells(project, *ROWS)
    result = invoke("--images", images, "--wells", table, "--channels", "DNA=1+ER=2", answer="y\n")
    assert result.exit_code == 0, result.output
    for words in (
        "16 images: TIFFs named imagexpress",
        "not read  1 file(s) or folder(s): notes.txt",
        "Barcode = plate, Compound = perturbation",
        "4 have images and a row",
        "kedro run --pipeline plate_report",
    ):
        assert words in result.output
    assert re.search(r"P1 +2 +4 +4 +0\n", result.output)
    written = yaml.safe_load((project / "conf/local/globals.yml").read_text())
    assert written == {
        "data": "${oc.env:MORPHOCLIP_DATA,data}/screen",
        "source": {"images": str(images), "wells": str(table)},
    }
    assert yaml.safe_load((project / "conf/local/parameters.yml").read_text()) == {
        "ingestion": {
            "experiment": "other",
            "image_names": "imagexpress",
            "well_columns": {"plate": "Barcode", "perturbation": "Compound"},
        },
        "image_features": {"channels": {"DNA": 1, "ER": 2}},
    }


def test_nothing_is_written_without_a_yes_or_over_what_is_there(project) -> None:
    arguments = ("--images", screen(project), "--wells", wells(project, *ROWS), "--env", "mine")
    assert invoke(*arguments, answer="n\n").exit_code == 1
    assert not (project / "conf/mine").exists()
    assert invoke(*arguments, "--yes").exit_code == 0
    again = invoke(*arguments, "--yes")
    assert again.exit_code == 1
    assert "conf/mine has globals.yml and parameters.yml already" in again.output
    assert invoke(*arguments, "--yes", "--replace").exit_code == 0


def test_an_environment_that_is_usual_is_mentioned(project, monkeypatch) -> None:
    monkeypatch.setenv("KEDRO_ENV", "demo")
    result = invoke("--images", screen(project), "--wells", wells(project, *ROWS), "--yes")
    assert "Commands without --env work on demo" in result.output


def test_what_does_not_fit_together_is_counted(project) -> None:
    table = wells(project, *ROWS[:3], "P1,B07,x,", "P3,A01,x,")
    result = invoke("--images", screen(project), "--wells", table, "--yes")
    assert "3 have images and a row" in result.output
    assert "1 of the table have no image: P1 B07" in result.output
    assert "1 have images and no row, and are not used: P2 A02" in result.output
    assert "1 plate(s) of the table have no image: P3" in result.output
    alone = invoke("--images", project / "screen", "--wells", wells(project, *ROWS[:2]), "--yes")
    assert "1 plate(s) have images and are not in the table of wells: P2" in alone.output
    assert alone.exit_code == 1
    other = wells(project, *(row.replace("P", "Plate") for row in ROWS))
    result = invoke("--images", project / "screen", "--wells", other, "--yes")
    assert "are plates called alike? The images have 'P1', 'P2', the table 'Plate1', 'Plate2'" in (
        result.output
    )


def test_missing_controls_are_said(project) -> None:
    table = wells(project, *(row.replace("DMSO,negcon", "x,") for row in ROWS))
    result = invoke("--images", screen(project), "--wells", table, "--yes")
    assert "no negative control: plates are normalised by all of their wells" in result.output


def test_without_a_table_there_is_one_to_fill_in(project) -> None:
    result = invoke("--images", screen(project))
    assert "wells_screen.csv has a row for each of the 4 imaged wells" in result.output
    table = pd.read_csv(project / "wells_screen.csv", keep_default_na=False)
    assert table[["plate", "well"]].to_numpy().tolist() == [
        ["P1", "A01"], ["P1", "A02"], ["P2", "A01"], ["P2", "A02"]
    ]  # fmt: skip
    assert (table["perturbation"] == "").all()
    assert "wells_screen.csv is there already" in invoke("--images", project / "screen").output
    blank = invoke("--images", project / "screen", "--wells", "wells_screen.csv", "--yes")
    assert "name no perturbation and no control" in blank.output


@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (("--images", "nowhere"), "there is no folder nowhere"),
        (("--images", "screen", "--wells", "nowhere.csv"), "there is no file nowhere.csv"),
        (("--images", "screen", "--names", "(?P<well"), "is no regular expression"),
        (("--images", "screen", "--channels", "x=1+y=9"), "no plate has a complete site"),
        (("--images", "screen", "--channels", "x=1+x=2"), "the channel x is named twice"),
        (("--images", "screen", "--channels", "x=1+y=1"), "two channels are one of the images'"),
        (("--images", "screen", "--channels", "x=1+y="), "'y' names no channel"),
        (("--images", "screen", "--channels", "x:1,y:2"), "joined by +, as in DNA=1+ER=2"),
        (("--images", "screen", "--channels", "x=dapi"), "its images are of 1, 2"),
        (("--images", "screen", "--env", "../x"), "is no name of a folder below conf"),
    ],
)
def test_mistakes_end_in_a_sentence(project, arguments, sentence) -> None:
    screen(project)
    result = invoke(*arguments)
    assert sentence in result.output
    assert not isinstance(result.exception, InputError | FileNotFoundError)


def test_outside_the_project_it_says_so(tmp_path, monkeypatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert "this is no folder of the project" in invoke("--images", tmp_path).output


@pytest.mark.parametrize("preset", EXAMPLES)
def test_each_preset_is_recognised_by_its_names(preset: str) -> None:
    first = EXAMPLES[preset]
    others = {
        "opera_phenix": first.replace("r01", "r02"),
        "imagexpress": first.replace("_w1", "_w2"),
        "cellvoyager": first.replace("C01", "C02"),
        "incell": first.replace("fld 1", "fld 2"),
    }
    assert best_pattern([first, others[preset]]) == preset


@pytest.mark.parametrize(
    ("names", "key"),
    [
        (("P/img_A01_s2_ch3.tif", "P/img_A01_s2_ch1.tif"), ("P", "A01", 2, 3)),
        (("P/x/B02-ch2-f7.tiff", "P/x/B02-ch2-f8.tiff"), ("P", "B02", 7, 2)),
        (("P/day1_C03_field4_channel5.tif", "P/day1_C03_field4_channel6.tif"), ("P", "C03", 4, 5)),
        (("P/screen_AB12_c1.tif", "P/screen_AB12_c2.tif"), ("P", "AB12", 1, 1)),
        (("P/D04_site03.tif", "P/D04_site04.tif"), ("P", "D04", 3, 1)),
        (("E05.tif", "E06.tif"), (None, "E05", 1, 1)),
    ],
)
def test_other_names_are_guessed(names, key) -> None:
    found = NamePattern(best_pattern(list(names))).read(names[0])
    assert found is not None
    assert (found.plate, found.well, found.site, found.channel) == key


def test_names_that_tell_no_wells_are_shown() -> None:
    with pytest.raises(
        InputError, match=r"these 2 images are named; the closest fails on 2: x.tif, y.tif"
    ):
        best_pattern(["x.tif", "y.tif"])


def test_files_of_several_channels_are_numbered(tmp_path) -> None:
    write(tmp_path, "P/A01.tif", "P/A02.tif", image=np.zeros((8, 8, 3), np.uint8))
    found = propose(ImageFiles(str(tmp_path)))
    assert found.channels == {"ch1": 1, "ch2": 2, "ch3": 3}
    assert found.plates[["wells", "complete"]].to_numpy().tolist() == [[2, 2]]


def test_zarr_plates_and_load_data_bring_names_of_channels(tmp_path) -> None:
    well = ngio.ImageInWellPath(row="A", column="1", path="0")
    plate = ngio.create_empty_plate(tmp_path / "z/P1.zarr", name="x", images=[well])
    ngio.create_ome_zarr_from_array(
        plate.get_image_store("A", "1", "0"),
        np.stack([IMAGE, IMAGE]),
        pixelsize=1.0,
        levels=1,
        axes_names=("c", "y", "x"),
        channels_meta=["Hoechst 33342", "WGA"],
    )
    found = propose(ImageFiles(str(tmp_path / "z")))
    assert (found.image_names, found.channels) == (None, {"DNA": "Hoechst 33342", "WGA": "WGA"})
    table = pd.DataFrame(
        {"Metadata_Plate": ["P"], "Metadata_Well": ["A01"], "Metadata_Site": ["1"]}
    ).assign(URL_OrigDNA="a.tif", URL_OrigMito="b.tif")
    listed = propose(ImageFiles(str(tmp_path), table=table))
    assert listed.channels == {"DNA": "DNA", "Mito": "Mito"}


def test_channels_have_names_that_can_be_written() -> None:
    assert names_for(["DAPI - DAPI", "Cy5+x", "Cy5=x", 4]) == {
        "DNA": "DAPI - DAPI", "Cy5_x": "Cy5+x", "Cy5_x_3": "Cy5=x", "ch4": 4
    }  # fmt: skip


def test_columns_of_labs_are_proposed_unless_ours_is_there() -> None:
    assert likely_columns(["Barcode", "well_position", "Compound", "Dose", "Units"]) == {
        "plate": "Barcode", "perturbation": "Compound", "concentration": "Dose", "unit": "Units"
    }  # fmt: skip
    assert likely_columns(["plate", "Barcode", "Compound", "perturbation"]) == {}


def test_wells_are_covered_by_plate() -> None:
    images = pd.DataFrame({PLATE: ["P", "P", "Q"], WELL: ["A01", "A02", "A01"]})
    table = pd.DataFrame({PLATE: ["P", "P", "R"], WELL: ["A01", "A03", "A01"]})
    found = covered(images, table)
    assert found.both == 1
    assert (found.without_images, found.without_row) == (["P A03"], ["P A02"])
    assert (found.plates_without_images, found.plates_without_rows) == (["R"], ["Q"])


def test_channels_that_are_left_out_are_named(project) -> None:
    assert "of the images' channels these are not used: 2" in (
        invoke("--images", screen(project), "--channels", "DNA=1").output
    )


def test_what_ingestion_would_refuse_is_said_before_anything_is_written(project) -> None:
    folder = screen(project)
    write(folder, "P1/TimePoint_2/P1_A01_s3_w1.tif", "P1/TimePoint_2/P1_A01_s3_w2.tif")
    result = invoke("--images", folder, "--wells", wells(project, *ROWS), "--yes")
    assert "plate P1 has 2 time points" in result.output
    assert not (project / "conf/local").exists()


def test_columns_can_be_given(project) -> None:
    table = project / "wells.csv"
    table.write_text("Assay,Well,What,Control\n" + "\n".join(ROWS) + "\n")
    columns = ("--columns", "plate=Assay+perturbation=What")
    result = invoke("--images", screen(project), "--wells", table, *columns, "--yes")
    assert result.exit_code == 0, result.output
    written = yaml.safe_load((project / "conf/local/parameters.yml").read_text())
    assert written["ingestion"]["well_columns"] == {"plate": "Assay", "perturbation": "What"}


def test_the_command_that_follows_repeats_what_was_given(project) -> None:
    folder = screen(project).rename(project / "my screen")
    result = invoke("--images", folder, "--channels", "DNA=1+ER=2", "--env", "mine")
    assert f"kedro init-plates --images '{folder}' --wells wells_my_screen.csv" in result.output
    assert "--channels DNA=1+ER=2 --env mine" in result.output


def test_links_to_folders_are_followed_in_no_circle(tmp_path) -> None:
    real = write(tmp_path / "elsewhere", "x_A01_s1_w1.tif", "x_A01_s1_w2.tif")
    (real / "again").symlink_to(real)
    (tmp_path / "screen").mkdir()
    (tmp_path / "screen/P1").symlink_to(real)
    found = propose(ImageFiles(str(tmp_path / "screen")))
    assert found.plates[[PLATE, "complete"]].to_numpy().tolist() == [["P1", 1]]


def test_plates_are_alike_however_umlauts_are_written(tmp_path) -> None:
    write(tmp_path / "screen", "u\u0308/x_A01_s1_w1.tif")
    assert propose(ImageFiles(str(tmp_path / "screen"))).plates[PLATE].tolist() == ["\u00fc"]
