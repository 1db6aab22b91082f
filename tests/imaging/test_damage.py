"""More than thirty kinds of damaged images, and what each of them gets."""

import csv
import io
from pathlib import Path

import imagecodecs
import numpy as np
import pytest
import tifffile

from morphoclip.imaging.tiff import UnusablePlane, decode_plane

GOLDEN = Path(__file__).parents[1] / "golden" / "damaged_images.csv"
RNG = np.random.default_rng(0)
PLANE = RNG.poisson(800, (108, 120)).astype(np.uint16)


def tiff(image: np.ndarray, **options: object) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, image, **options)
    return buffer.getvalue()


LZW = tiff(PLANE, compression="lzw", rowsperstrip=len(PLANE))
RAW = tiff(PLANE)


def with_bytes(content: bytes, start: int, new: bytes) -> bytes:
    return content[:start] + new + content[start + len(new) :]


def with_tag(content: bytes, code: int, value: int) -> bytes:
    """Overwrite the value of a tag in the first directory."""
    with tifffile.TiffFile(io.BytesIO(content)) as file:
        tag = file.pages[0].tags[code]
        return with_bytes(content, tag.valueoffset, value.to_bytes(2, "little"))


def damaged() -> dict[str, bytes]:
    cuts = {f"LZW cut at {p} %": LZW[: len(LZW) * p // 100] for p in (0, 1, 5, 25, 50, 75, 95)}
    raw_cuts = {f"raw cut at {p} %": RAW[: len(RAW) * p // 100] for p in (0, 1, 50, 99)}
    middle = len(LZW) // 2
    return cuts | raw_cuts | {
        "one byte": b"I",
        "zero bytes of header": b"\0" * 8 + LZW[8:],
        "wrong magic number": with_bytes(LZW, 2, b"\x2b\x2a"),
        "directory beyond the end": with_bytes(LZW, 4, b"\xff\xff\xff\x7f"),
        "directory in the pixels": with_bytes(LZW, 4, (100).to_bytes(4, "little")),
        "LZW garbage in the middle": with_bytes(LZW, middle, RNG.bytes(400)),
        "LZW garbage at the start": with_bytes(LZW, len(LZW) - len(LZW) // 2, b"\xff" * 300),
        "zeros in the compressed data": with_bytes(LZW, middle, b"\0" * 400),
        "absurd width": with_tag(LZW, 256, 65535),
        "absurd height": with_tag(LZW, 257, 65535),
        "width of nought": with_tag(LZW, 256, 0),
        "unknown compression": with_tag(LZW, 259, 999),
        "eight bits claimed of sixteen": with_tag(RAW, 258, 8),
        "a PNG": imagecodecs.png_encode(PLANE),
        "a JPEG": imagecodecs.jpeg_encode(PLANE.astype(np.uint8)),
        "text": b"the cells looked fine to me\n" * 40,
        "HTML of an error page": b"<html><body>404 Not Found</body></html>",
        "RGB": tiff(np.stack([PLANE] * 3, axis=-1), photometric="rgb"),
        "three planes deep": tiff(np.stack([PLANE] * 3), photometric="minisblack", planarconfig=2),
        "ImageJ's stack": tiff(np.stack([PLANE] * 3), imagej=True),
        "ImageJ's stack behind one page": tiff(
            np.stack([PLANE] * 3), imagej=True, contiguous=True, metadata={"axes": "ZYX"}
        ),
        "three pages": tiff(np.stack([PLANE] * 3), photometric="minisblack"),
        "seventy pages": tiff(np.stack([PLANE[:2, :2]] * 70), photometric="minisblack"),
        "an OME stack": tiff(np.stack([PLANE] * 3), ome=True, metadata={"axes": "ZYX"}),
        "an image of OME (fine)": tiff(PLANE, ome=True),
        "an image of ImageJ (fine)": tiff(PLANE, imagej=True),
        "32-bit floats": tiff(PLANE.astype(np.float32)),
        "32-bit integers": tiff(PLANE.astype(np.uint32)),
        "signed 16 bits": tiff(PLANE.astype(np.int16)),
        "64-bit floats": tiff(PLANE.astype(np.float64)),
        "all zero": tiff(np.zeros_like(PLANE)),
        "all saturated": tiff(np.full_like(PLANE, 65535)),
        "half saturated and more": tiff(np.where(np.arange(120) < 70, 65535, PLANE)),
        "8 bits (fine)": tiff((PLANE // 8).astype(np.uint8)),
        "1 x 1 pixel (fine)": tiff(PLANE[:1, :1]),
        "a few saturated pixels (fine)": tiff(np.where(np.arange(120) < 5, 65535, PLANE)),
        "LZW with a predictor (fine)": tiff(PLANE, compression="lzw", predictor=True),
        "big endian (fine)": tiff(PLANE, byteorder=">"),
        "BigTIFF (fine)": tiff(PLANE, bigtiff=True),
    }  # fmt: skip


def what_it_gets(content: bytes) -> str:
    try:
        plane = decode_plane(content)
    except UnusablePlane as finding:
        return finding.reason
    return f"read, {plane.dtype}, {plane.shape[0]} x {plane.shape[1]}"


def test_every_kind_of_damage_gets_what_the_table_says() -> None:
    with GOLDEN.open(newline="") as file:
        golden = {row["image"]: row["gets"] for row in csv.DictReader(file)}
    got = {name: what_it_gets(content) for name, content in damaged().items()}
    assert len(got) >= 36
    assert got == golden


@pytest.mark.parametrize("seed", range(60))
def test_random_damage_is_read_or_refused_and_nothing_else(seed: int) -> None:
    rng = np.random.default_rng(seed)
    content = bytearray(LZW)
    for place in rng.integers(0, len(content), rng.integers(1, 30)):
        content[place] = rng.integers(0, 256)
    got = what_it_gets(bytes(content))
    assert got in {"unreadable", "wrong_shape", "wrong_dtype", "all_zero", "saturated"} or (
        got.startswith("read, uint")
    )
