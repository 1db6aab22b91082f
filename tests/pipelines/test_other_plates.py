"""Plates of other microscopes with one table of wells, beside the same in CPJUMP1's layout."""

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pytest
import tifffile
import torch
from lab_plates import (
    Images,
    Writer,
    as_cellvoyager,
    as_imagexpress,
    as_load_data,
    as_ome_tiff,
    as_ome_zarr,
)
from project import Workspace

from morphoclip.columns import (
    CELL_LINE,
    CELL_TYPE,
    DENSITY,
    MODALITY,
    PLATE,
    ROLE,
    SITE,
    TIMEPOINT,
    WELL,
)
from morphoclip.errors import InputError
from morphoclip.imaging.file_names import NamePattern

NUMBERS = "MITO=1+AGP=2+RNA=3+ER=4+DNA=5"


@pytest.fixture(scope="module")
def usual(tmp_path_factory) -> Workspace:
    """Synthetic plates in CPJUMP1's layout, to features."""
    workspace = Workspace(tmp_path_factory.mktemp("usual"))
    workspace.run("demo_gallery")
    workspace.run("ingestion", "image_features")
    return workspace


@pytest.fixture(scope="module")
def table(usual) -> pd.DataFrame:
    """What was done to the wells of these plates, as a lab would write it."""
    facts = usual.load("perturbations").drop(columns=[ROLE])
    wells = usual.load("well_index")
    keys = [MODALITY, "Metadata_broad_sample"]
    both = wells.merge(facts, on=keys, how="left", suffixes=("", "_of_perturbation"))
    assert wells[[CELL_TYPE, TIMEPOINT]].notna().all(axis=None)
    names = {
        PLATE: "Plate",
        WELL: "Well",
        "Metadata_broad_sample": "Compound",
        "Metadata_pert_iname": "Name",
        "Metadata_gene": "Gene",
        "Metadata_target_list": "Targets",
        "Metadata_moa_list": "MoA",
        ROLE: "Control",
        MODALITY: "Modality",
        CELL_TYPE: "Cell type",
        TIMEPOINT: "Timepoint",
        DENSITY: "Density",
        CELL_LINE: "Cell line",
    }
    written = both[list(names)].rename(columns=names)
    return written.assign(Control=written["Control"].replace("trt", ""))


def sites_of(usual: Workspace) -> Images:
    """Images of each site, channels in the order of their numbers."""
    root = usual.data / "01_raw/images/synthetic/images"
    pattern = NamePattern("opera_phenix")
    sites: dict[tuple[str, str, int], dict[int, np.ndarray]] = {}
    for path in sorted(root.rglob("*.tiff")):
        key = pattern.read(str(path.relative_to(root)))
        assert key is not None
        assert key.plate is not None
        site = sites.setdefault((key.plate, key.well, key.site), {})
        site[int(key.channel)] = tifffile.imread(path)
    return {key: np.stack([site[n] for n in sorted(site)]) for key, site in sites.items()}


LABELS = ("Mito", "AGP", "RNA", "ER", "DNA")
BY_LABEL = "MITO=Mito+AGP+RNA+ER+DNA"
ROADS: dict[str, tuple[Writer, str, str]] = {
    "imagexpress": (as_imagexpress, "imagexpress", NUMBERS),
    "cellvoyager": (as_cellvoyager, "cellvoyager", NUMBERS),
    "OME-TIFF": (as_ome_tiff, r"(?P<well>\w+)-(?P<site>\d+)\.ome\.tif", BY_LABEL),
    "LoadData": (as_load_data, "opera_phenix", BY_LABEL),
    "OME-Zarr": (as_ome_zarr, "opera_phenix", BY_LABEL),
}


def params(folder: Path, road: str, table: Path) -> dict[str, Any]:
    _, names, channels = ROADS[road]
    images = folder / "load_data.parquet" if road == "LoadData" else folder
    source = {"images": str(images), "wells": str(table), "root": "s3://nobody/asks/for/it"}
    return {
        "ingestion": {
            "source": source,
            "image_names": names,
            "well_columns": "perturbation=Compound",
        },
        "image_features": {"channels": channels},
    }


FAST = {"imagexpress"}


@pytest.mark.parametrize(
    "road",
    [road if road in FAST else pytest.param(road, marks=pytest.mark.slow) for road in ROADS],
)
def test_each_road_gives_the_same_features_and_wells(usual, table, tmp_path, road: str) -> None:
    folder = tmp_path / "images"
    ROADS[road][0](folder, sites_of(usual), LABELS)
    ending = {
        "imagexpress": "csv",
        "cellvoyager": "xlsx",
        "OME-TIFF": "parquet",
        "LoadData": "csv",
        "OME-Zarr": "csv",
    }[road]
    path = tmp_path / f"wells.{ending}"
    match ending:
        case "csv":
            table.to_csv(path, index=False)
        case "xlsx":
            table.to_excel(path, index=False)
        case _:
            table.to_parquet(path)
    workspace = Workspace(tmp_path)
    workspace.run("ingestion", "image_features", **params(folder, road, path))

    theirs, ours = usual.load("site_features"), workspace.load("site_features")
    assert sorted(theirs) == sorted(ours)
    for key, load in theirs.items():
        assert torch.equal(load(), ours[key]()), key
    columns = [c for c in usual.load("well_index") if c not in OF_THE_LAYOUT]
    pd.testing.assert_frame_equal(
        workspace.load("well_index")[columns], usual.load("well_index")[columns]
    )
    assert (
        workspace.load("site_index").groupby([PLATE, WELL, SITE]).ngroups
        == usual.load("site_index").groupby([PLATE, WELL, SITE]).ngroups
    )


OF_THE_LAYOUT = {"Metadata_condition", "Metadata_antibiotics", "Metadata_entity"}
"""What experiment-metadata.tsv says beyond a table of wells, and names made of it."""


def test_images_without_a_row_and_rows_without_images_are_said(
    usual, table, tmp_path, caplog
) -> None:
    folder, path = tmp_path / "images", tmp_path / "wells.csv"
    as_imagexpress(folder, sites_of(usual))
    plate = table["Plate"].iloc[0]
    table[(table["Plate"] != plate) | (table["Well"] != "A01")].to_csv(path, index=False)
    (folder / plate / "TimePoint_1" / "snapshot.tif").write_bytes(b"")
    workspace = Workspace(tmp_path)
    workspace.run("ingestion", **params(folder, "imagexpress", path))
    assert f"1 wells have images and are in no table of wells; they are not used: {plate} A01" in (
        caplog.text
    )
    assert "TIFFs are not named as ingestion.image_names (imagexpress) says" in caplog.text
    shutil.rmtree(folder / plate)
    table[table["Plate"] == plate].to_csv(path, index=False)
    with pytest.raises(InputError, match=r"plate\(s\) have images and are not in the wells table"):
        workspace.run("ingestion", **params(folder, "imagexpress", path))


def test_a_folder_without_any_image_shows_what_it_holds(table, tmp_path) -> None:
    folder, path = tmp_path / "images", tmp_path / "wells.csv"
    (folder / "P1").mkdir(parents=True)
    for name in ("a.tif", "b.tif", "c.tif", "d.tif"):
        (folder / "P1" / name).write_bytes(b"")
    table.to_csv(path, index=False)
    with pytest.raises(InputError, match=r"holds 4 file\(s\), none of .* a\.tif, b\.tif, c\.tif"):
        Workspace(tmp_path).run("ingestion", **params(folder, "cellvoyager", path))
