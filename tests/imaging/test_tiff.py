"""One plane off disk, or why not."""

import io

import imagecodecs
import numpy as np
import pytest
import tifffile

from morphoclip.imaging.tiff import (
    UnusablePlane,
    channels_of,
    decode_plane,
    opened_tiffs,
)

PLANE = np.arange(1, 37 * 53 + 1, dtype=np.uint16).reshape(37, 53)


def tiff(image: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, image, **options)
    return buffer.getvalue()


def several(*images: np.ndarray) -> bytes:
    """Pages of different sizes."""
    buffer = io.BytesIO()
    with tifffile.TiffWriter(buffer) as writer:
        for image in images:
            writer.write(image)
    return buffer.getvalue()


@pytest.mark.parametrize("compression", [None, "lzw", "zlib"])
def test_planes_come_back_as_they_were(compression: str | None) -> None:
    assert np.array_equal(decode_plane(tiff(PLANE, compression=compression)), PLANE)


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "unreadable"),
        (b"PNG", "unreadable"),
        (tiff(PLANE)[:200], "unreadable"),
        (tiff(PLANE, compression="lzw")[:-300], "unreadable"),
        (imagecodecs.png_encode(PLANE), "unreadable"),
        (tiff(np.zeros_like(PLANE)), "all_zero"),
        (tiff(PLANE, photometric="miniswhite"), "unreadable"),
        (tiff(PLANE, extratags=[(274, 3, 1, 6, True)]), "unreadable"),
        (
            tiff(PLANE % 256, photometric="palette", colormap=np.zeros((3, 65536), np.uint16)),
            "unreadable",
        ),
        (several(PLANE[:9, :9], PLANE), "wrong_shape"),
        (tiff(PLANE.astype(np.float32)), "wrong_dtype"),
        (tiff(np.stack([PLANE] * 3, axis=-1), photometric="rgb"), "wrong_shape"),
        (tiff(np.ones((1, 7), np.uint16))[:4] + b"\xff" * 60, "unreadable"),
    ],
)
def test_what_cannot_be_used_says_why(content: bytes, reason: str) -> None:
    with pytest.raises(UnusablePlane) as caught:
        decode_plane(content)
    assert caught.value.reason == reason


def test_a_real_plane_reads_as_libtiff_and_tifffile_agree(gallery) -> None:
    path = next(iter(sorted(gallery.rglob("*ch2*.tiff"))))
    plane = decode_plane(path.read_bytes())
    assert plane.shape == (1080, 1080)
    assert np.array_equal(plane, tifffile.imread(path))


THREE = np.stack([PLANE, PLANE[::-1], PLANE[:, ::-1]])
NAMES = {"axes": "CYX", "Channel": {"Name": ["DNA", "ER", "RNA"]}}


@pytest.mark.parametrize(
    ("content", "names"),
    [
        (tiff(THREE, photometric="minisblack"), ["", "", ""]),
        (tiff(THREE, photometric="minisblack", metadata={"axes": "CYX"}), ["", "", ""]),
        (tiff(np.moveaxis(THREE, 0, -1), photometric="rgb", compression="lzw"), ["", "", ""]),
        (tiff(THREE, ome=True, photometric="minisblack", metadata=NAMES), ["DNA", "ER", "RNA"]),
        (tiff(THREE[None], imagej=True, metadata={"axes": "TCYX"}), ["", "", ""]),
    ],
    ids=["pages", "axes", "RGB", "OME", "ImageJ"],
)
def test_the_channels_of_one_file_are_told_apart(content: bytes, names: list[str]) -> None:
    assert channels_of(content) == names
    open_image = opened_tiffs(lambda _: content)("a.tif")
    for number, plane in enumerate(THREE, start=1):
        np.testing.assert_array_equal(open_image(number), plane)
    with pytest.raises(UnusablePlane, match="3 channels, none of number 4"):
        open_image(4)
    with pytest.raises(UnusablePlane):
        opened_tiffs(lambda _: content)("a.tif")(0)


def test_a_plane_is_a_file_of_one_channel() -> None:
    assert channels_of(tiff(PLANE)) == [""]
    np.testing.assert_array_equal(opened_tiffs(lambda _: tiff(PLANE))("a.tif")(1), PLANE)
    one = tiff(PLANE, ome=True, metadata={"axes": "YX", "Channel": {"Name": "DNA"}})
    assert channels_of(one) == ["DNA"]


@pytest.mark.parametrize(
    ("content", "reason"),
    [
        (b"", "unreadable"),
        (tiff(THREE, photometric="minisblack", compression="lzw")[:-900], "unreadable"),
        (tiff(THREE.astype(np.float32), photometric="minisblack"), "wrong_dtype"),
        (tiff(np.zeros_like(THREE), photometric="minisblack"), "all_zero"),
        (tiff(THREE, photometric="minisblack", metadata={"axes": "ZYX"}), "wrong_shape"),
        (tiff(THREE, photometric="minisblack", metadata={"axes": "TYX"}), "wrong_shape"),
    ],
    ids=["empty", "cut off", "floats", "black", "planes", "times"],
)
def test_files_of_several_channels_that_cannot_be_used_say_why(content: bytes, reason: str) -> None:
    with pytest.raises(UnusablePlane) as caught:
        opened_tiffs(lambda _: content)("a.tif")(2)
    assert caught.value.reason == reason
