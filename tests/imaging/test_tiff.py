"""One plane off disk, or why not."""

import io

import imagecodecs
import numpy as np
import pytest
import tifffile

from morphoclip.imaging.tiff import UnusablePlane, decode_plane

PLANE = np.arange(1, 37 * 53 + 1, dtype=np.uint16).reshape(37, 53)


def tiff(image: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, image, **options)
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
