"""OME-Zarr plates, written by ngio."""

from pathlib import Path

import ngio
import numpy as np
import pytest

from morphoclip.errors import InputError
from morphoclip.gallery.image_files import ImageFiles
from morphoclip.gallery.ome_zarr_plates import ZarrPlates, holds_zarr, plate_of_store
from morphoclip.imaging.ome_zarr import opened_image
from morphoclip.imaging.tiff import UnusablePlane

STACK = np.arange(2 * 64 * 80, dtype=np.uint16).reshape(2, 64, 80)
BY_NAME = {"DNA": "dapi", "ER": "er"}


def write(
    folder: Path,
    name: str = "P1.zarr",
    *,
    images: tuple[tuple[str, str, str, int | None], ...] = (
        ("B", "03", "0", None),
        ("B", "03", "1", None),
        ("A", "12", "0", None),
    ),
    stack: np.ndarray = STACK,
    axes: tuple[str, ...] = ("c", "y", "x"),
    version: str = "0.4",
) -> Path:
    wells = [
        ngio.ImageInWellPath(row=row, column=column, path=path, acquisition_id=acquisition)
        for row, column, path, acquisition in images
    ]
    plate = ngio.create_empty_plate(folder / name, name="a", images=wells, ngff_version=version)
    for row, column, path, _ in images:
        ngio.create_ome_zarr_from_array(
            plate.get_image_store(row, column, path),
            stack,
            pixelsize=0.5,
            levels=3,
            axes_names=axes,
            channels_meta=["dapi", "er"],
            ngff_version=version,
            consolidation_mode="auto",
        )
    return folder / name


@pytest.mark.parametrize("version", ["0.4", "0.5"])
def test_wells_fields_and_labels_are_those_of_the_plate(tmp_path, version: str) -> None:
    write(tmp_path, "P1__2024.ome.zarr", version=version)
    plates = ZarrPlates(ImageFiles(str(tmp_path)), BY_NAME)
    assert plates.plates == ["P1"]
    found = [(f.well, f.site, f.channel, f.path, f.number) for f in plates.of("P1")]
    assert found == [
        (well, site, channel, f"P1__2024.ome.zarr/{path}", number)
        for well, site, path in (("B03", 1, "B/03/0"), ("B03", 2, "B/03/1"), ("A12", 1, "A/12/0"))
        for number, channel in ((1, "dapi"), (2, "er"))
    ]


def test_a_plate_may_be_the_folder_itself(tmp_path) -> None:
    files = ImageFiles(str(write(tmp_path)))
    plates = ZarrPlates(files, {"DNA": 1, "ER": 2})
    assert holds_zarr(files)
    assert plates.plates == ["P1"]
    first = plates.of("P1")[1]
    assert (first.path, first.channel) == ("B/03/0", 2)
    np.testing.assert_array_equal(files.images()(first.path)(2), STACK[1])


@pytest.mark.parametrize(
    ("at_least", "shape"),
    [
        (None, (64, 80)),
        (64, (64, 80)),
        (33, (64, 80)),
        (32, (32, 40)),
        (1, (16, 20)),
        (99, (64, 80)),
    ],
)
def test_the_smallest_resolution_with_enough_pixels_is_read(tmp_path, at_least, shape) -> None:
    store = write(tmp_path) / "B/03/0"
    assert opened_image(str(store), at_least)(1).shape == shape


def test_the_lowest_plane_is_read(tmp_path) -> None:
    stack = np.stack([STACK + 1, STACK + 2], axis=1)
    store = write(tmp_path, stack=stack, axes=("c", "z", "y", "x")) / "B/03/0"
    np.testing.assert_array_equal(opened_image(str(store), None)(2), STACK[1] + 1)


def test_several_time_points_and_acquisitions_are_refused(tmp_path) -> None:
    write(tmp_path, stack=np.stack([STACK, STACK]), axes=("t", "c", "y", "x"))
    write(tmp_path, "P2.zarr", images=(("A", "1", "0", 0), ("A", "1", "1", 1)))
    plates = ZarrPlates(ImageFiles(str(tmp_path)), BY_NAME)
    with pytest.raises(InputError, match=r"3 image\(s\) of plate P1.zarr have several time points"):
        plates.of("P1")
    with pytest.raises(InputError, match=r"plate P2.zarr has 2 acquisitions \(0, 1\)"):
        plates.of("P2")


def test_a_folder_that_is_no_plate_is_named(tmp_path) -> None:
    (tmp_path / "P1.zarr").mkdir()
    with pytest.raises(InputError, match=r"P1.zarr cannot be read as an OME-Zarr plate"):
        ZarrPlates(ImageFiles(str(tmp_path)), BY_NAME).of("P1")


def test_two_folders_of_one_plate_are_named(tmp_path) -> None:
    (tmp_path / "P1.zarr").mkdir()
    (tmp_path / "P1__again.ome.zarr").mkdir()
    with pytest.raises(InputError, match="plate P1 has two folders"):
        ZarrPlates(ImageFiles(str(tmp_path)), BY_NAME)


def test_what_an_image_lacks_is_said(tmp_path) -> None:
    plate = write(tmp_path)
    with pytest.raises(UnusablePlane, match="2 channels, none of number 3"):
        opened_image(str(plate / "B/03/0"), None)(3)
    with pytest.raises(FileNotFoundError):
        opened_image(str(plate / "B/03/7"), None)
    chunk = next(p for p in (plate / "B/03/0/0").rglob("*") if p.is_file() and p.name == "0")
    chunk.write_bytes(b"damaged")
    with pytest.raises(UnusablePlane, match="cannot be decoded"):
        opened_image(str(plate / "B/03/0"), None)(1)


def test_over_a_network_a_plate_is_read_the_same(tmp_path) -> None:
    import fsspec

    write(tmp_path)
    memory = fsspec.filesystem("memory")
    memory.put(str(tmp_path / "P1.zarr"), "/bucket/P1.zarr", recursive=True)
    files = ImageFiles("memory://bucket", {})
    image = ZarrPlates(files, BY_NAME).of("P1")[0]
    np.testing.assert_array_equal(files.images()(image.path)(1), STACK[0])


def test_names_of_folders_are_barcodes() -> None:
    assert [plate_of_store(n) for n in ("P1.zarr", "P 1.ome.zarr", "B7__x.zarr", "B.1.ZARR")] == [
        "P1",
        "P 1",
        "B7",
        "B.1",
    ]


def test_a_pixel_size_that_was_stated_is_held_against_the_plates(tmp_path) -> None:
    write(tmp_path)
    files = ImageFiles(str(tmp_path))
    assert len(ZarrPlates(files, BY_NAME, pixel_size=0.502).of("P1")) == 6
    with pytest.raises(
        InputError, match=r"3 image\(s\) of plate P1.zarr.*0.65 µm, e.g. B/03/0 has 0.5"
    ):
        ZarrPlates(files, BY_NAME, pixel_size=0.65).of("P1")
