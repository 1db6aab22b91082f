"""Plates as a lab has them: any microscope's files, any number of wells, one table of wells."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import ngio
import numpy as np
import pandas as pd
import tifffile

from morphoclip.well_names import well_name

FORMATS = {24: (4, 6), 96: (8, 12), 384: (16, 24)}
SIZE = 32
CHANNELS = ("DNA", "ER", "AGP")
COMPOUNDS = {
    f"compound-{n}": {"targets": f"GENE{n // 2}", "moa": f"GENE{n // 2} inhibitor"}
    for n in range(8)
}

Images = dict[tuple[str, str, int], np.ndarray]
"""``(C, H, W)`` by plate, well and site."""


def wells_table(n_wells: int, plates: tuple[str, ...] = ("P1", "P2")) -> pd.DataFrame:
    """A quarter negative controls, one empty well, compounds in the others; two plates alike."""
    rows = []
    for plate in plates:
        for number in range(n_wells):
            row, column = divmod(number, FORMATS[n_wells][1])
            well = {"plate": plate, "well": well_name(row + 1, column + 1)}
            if number == n_wells - 1:
                rows.append(well | {"control": "empty"})
            elif number % 4 == 0:
                rows.append(well | {"perturbation": "DMSO", "control": "negcon"})
            else:
                name = f"compound-{(number // 4 * 3 + number % 4 - 1) % len(COMPOUNDS)}"
                rows.append(well | {"perturbation": name, **COMPOUNDS[name]})
    return pd.DataFrame(rows).fillna("")


def images_of(table: pd.DataFrame, n_sites: int = 1) -> Images:
    """Squares on a background of 0, their brightness by compound; nothing in empty wells."""
    rng = np.random.default_rng(0)
    images = {}
    for row in table.to_dict("records"):
        for site in range(1, n_sites + 1):
            stack = rng.integers(0, 3, (len(CHANNELS), SIZE, SIZE)).astype(np.uint8)
            if row.get("control") != "empty":
                kind = sum(map(ord, row["perturbation"]))
                for channel in range(len(CHANNELS)):
                    light = 60 + 37 * (kind + 3 * channel) % 150
                    for y, x in rng.integers(0, SIZE - 5, (6, 2)):
                        stack[channel, y : y + 5, x : x + 5] += np.uint8(light // 3)
            images[row["plate"], row["well"], site] = stack
    return images


def as_imagexpress(folder: Path, images: Images, _: tuple[str, ...] = CHANNELS) -> None:
    """Thumbnails lie beside the images, as the microscope writes them."""
    for (plate, well, site), stack in images.items():
        place = folder / plate / "TimePoint_1"
        place.mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(stack, start=1):
            name = f"exp_{well}_s{site}_w{number}"
            tifffile.imwrite(place / f"{name}.TIF", image)
            tifffile.imwrite(place / f"{name}_thumb0AB.tif", image[::4, ::4])


def as_cellvoyager(folder: Path, images: Images, _: tuple[str, ...] = CHANNELS) -> None:
    for (plate, well, site), stack in images.items():
        (folder / plate).mkdir(parents=True, exist_ok=True)
        for number, image in enumerate(stack, start=1):
            name = f"AssayPlate_{well}_T0001F{site:03d}L01A01Z01C{number:02d}.tif"
            tifffile.imwrite(folder / plate / name, image, compression="zlib")


def as_rgb(folder: Path, images: Images, _: tuple[str, ...] = CHANNELS) -> None:
    for (plate, well, site), stack in images.items():
        (folder / plate).mkdir(parents=True, exist_ok=True)
        picture = np.moveaxis(stack, 0, -1)
        tifffile.imwrite(folder / plate / f"{well}_s{site}.tif", picture, photometric="rgb")


def as_ome_tiff(folder: Path, images: Images, channels: tuple[str, ...] = CHANNELS) -> None:
    for (plate, well, site), stack in images.items():
        (folder / plate).mkdir(parents=True, exist_ok=True)
        tifffile.imwrite(
            folder / plate / f"{well}-{site}.ome.tif",
            stack,
            photometric="minisblack",
            metadata={"axes": "CYX", "Channel": {"Name": list(channels)}},
        )


def as_load_data(folder: Path, images: Images, channels: tuple[str, ...] = CHANNELS) -> None:
    """Illumination functions are named, too; they are not there."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for (plate, well, site), stack in images.items():
        row = {"Metadata_Plate": plate, "Metadata_Well": well, "Metadata_Site": site}
        for name, image in zip(channels, stack, strict=True):
            row[f"FileName_Orig{name}"] = f"{plate}-{well}-{site}-{name}.tif"
            row[f"PathName_Orig{name}"] = str(folder)
            row[f"FileName_Illum{name}"] = f"{plate}_Illum{name}.npy"
            tifffile.imwrite(folder / row[f"FileName_Orig{name}"], image)
        rows.append(row)
    pd.DataFrame(rows).to_parquet(folder / "load_data.parquet")


def as_ome_zarr(folder: Path, images: Images, channels: tuple[str, ...] = CHANNELS) -> None:
    """Version 0.4 for the first plate, 0.5 for the others; a second, smaller resolution."""
    for number, plate in enumerate(sorted({plate for plate, _, _ in images})):
        chosen = {key[1:]: stack for key, stack in images.items() if key[0] == plate}
        places = [
            ngio.ImageInWellPath(row=well[:-2], column=well[-2:], path=str(site - 1))
            for well, site in chosen
        ]
        version = "0.5" if number else "0.4"
        store = folder / f"{plate}.ome.zarr"
        opened = ngio.create_empty_plate(store, name=plate, images=places, ngff_version=version)
        for (well, site), stack in chosen.items():
            ngio.create_ome_zarr_from_array(
                opened.get_image_store(well[:-2], well[-2:], str(site - 1)),
                stack,
                pixelsize=0.6,
                levels=2,
                axes_names=("c", "y", "x"),
                channels_meta=list(channels),
                ngff_version=version,
                consolidation_mode="auto",
            )


Writer = Callable[[Path, Images, tuple[str, ...]], None]

ROADS: dict[str, tuple[Writer, dict[str, Any]]] = {
    "imagexpress": (
        as_imagexpress,
        {"ingestion": {"image_names": "imagexpress"}, "channels": "DNA=1+ER=2+AGP=3"},
    ),
    "cellvoyager": (
        as_cellvoyager,
        {"ingestion": {"image_names": "cellvoyager"}, "channels": "DNA=1+ER=2+AGP=3"},
    ),
    "RGB": (
        as_rgb,
        {
            "ingestion": {"image_names": r"(?P<plate>\w+)/(?P<well>[A-P]\d\d)_s(?P<site>\d)\.tif"},
            "channels": "DNA=1+ER=2+AGP=3",
        },
    ),
    "LoadData": (as_load_data, {"ingestion": {}, "channels": "DNA+ER+AGP"}),
    "OME-Zarr": (as_ome_zarr, {"ingestion": {}, "channels": "DNA+ER+AGP"}),
}


def lab(folder: Path, road: str, table: pd.DataFrame, ending: str = "csv") -> dict[str, Any]:
    """Write images and table; the parameters that read them."""
    write, settings = ROADS[road]
    images = folder / "images"
    write(images, images_of(table), CHANNELS)
    path = folder / f"wells.{ending}"
    match ending:
        case "csv":
            table.to_csv(path, index=False)
        case "xlsx":
            table.to_excel(path, index=False)
        case "parquet":
            table.to_parquet(path)
    place = images / "load_data.parquet" if road == "LoadData" else images
    source = {"images": str(place), "wells": str(path), "root": "s3://nobody/asks/for/it"}
    return {
        "ingestion": {"source": source, **settings["ingestion"]},
        "image_features": {"channels": settings["channels"]},
    }
