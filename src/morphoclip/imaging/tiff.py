"""One plane off disk, or why not."""

import io
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

_LARGEST_PLANE = 2**26
"""Pixels; an Opera Phenix plane has 4.7 million. More is a damaged header, not an image."""


_MOST_SATURATED = 0.5
"""Share of pixels at the top of the range beyond which an image is unusable."""


class UnusablePlane(Exception):
    """An image that goes no further.

    ``reason`` is a word for tables, the message is for people.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


def decode_plane(content: bytes) -> NDArray[np.uint8 | np.uint16]:
    """Decode a single-channel TIFF to ``(H, W)``, in counts of the camera.

    Raises:
        UnusablePlane: ``unreadable``, ``wrong_shape``, ``wrong_dtype``, ``all_zero`` or
            ``saturated``.
    """
    try:
        with tifffile.TiffFile(io.BytesIO(content)) as header:
            page = header.pages[0]
            shape, dtype = page.shape, page.dtype
            raw_at = _place_of_raw_pixels(page, len(content))
    except Exception as error:  # damaged headers fail in a dozen ways; all mean one thing
        raise UnusablePlane("unreadable", f"no TIFF: {error}") from error
    if len(shape) != 2 or not 0 < int(np.prod(shape, dtype=np.int64)) <= _LARGEST_PLANE:
        raise UnusablePlane("wrong_shape", f"shape {tuple(shape)}, not (height, width)")
    if dtype not in (np.uint8, np.uint16):
        raise UnusablePlane("wrong_dtype", f"{dtype}, neither uint8 nor uint16")
    try:
        if raw_at is None:
            plane = imagecodecs.tiff_decode(content)
        else:
            plane = np.frombuffer(content, dtype, shape[0] * shape[1], raw_at).reshape(shape)
    except Exception as error:  # libtiff's failures share no base class
        raise UnusablePlane("unreadable", f"cannot be decoded: {error}") from error
    if plane.shape != shape or plane.dtype != dtype:
        raise UnusablePlane("unreadable", f"decodes to {plane.dtype} {plane.shape}, not {shape}")
    brightest, top = plane.max(), np.iinfo(plane.dtype).max
    if brightest == 0:
        raise UnusablePlane("all_zero", "every pixel is 0")
    if (
        brightest == top
        and (share := np.count_nonzero(plane == top) / plane.size) > _MOST_SATURATED
    ):
        raise UnusablePlane("saturated", f"{share:.0%} of the pixels are at the top")
    return np.asarray(plane)


def _place_of_raw_pixels(page: Any, n_bytes: int) -> int | None:
    """Where the file holds the plane as it lies in memory, so that nothing need be decoded."""
    if not page.is_contiguous or page.parent.byteorder != "<":
        return None
    place = int(page.dataoffsets[0])
    return place if 0 < place <= n_bytes - page.size * page.dtype.itemsize else None
