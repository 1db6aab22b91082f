"""One plane off disk, or why not."""

import io
from collections.abc import Callable
from functools import cache, partial
from typing import Any

import imagecodecs
import numpy as np
import tifffile
from numpy.typing import NDArray

_LARGEST_PLANE = 2**26
"""Pixels; an Opera Phenix plane has 4.7 million. More is a damaged header, not an image."""


_MIN_IS_WHITE = tifffile.PHOTOMETRIC.MINISWHITE
_PALETTE = tifffile.PHOTOMETRIC.PALETTE
_ORIENTATION = 274
"""Number of the tag that says how an image is turned; 1 is not at all."""

_MOST_PAGES = 64

_MOST_SATURATED = 0.5
"""Share of pixels at the top of the range beyond which an image is unusable."""

_TOPS = frozenset(2**bits - 1 for bits in (8, 10, 12, 14, 16))
"""Brightest counts of cameras: 12 bits are kept in files of 16."""


_OF_SEVERAL = (
    "files that hold several channels are read where ingestion.image_names has no group channel"
)


class UnusablePlane(Exception):
    """An image that goes no further.

    ``reason`` is a word for tables, the message is for people.
    """

    def __init__(self, reason: str, detail: str) -> None:
        super().__init__(detail)
        self.reason = reason


Plane = NDArray[np.uint8 | np.uint16]
"""An image ``(H, W)`` in counts of the camera."""

OpenFile = Callable[[str], Callable[[int], Plane]]
"""Opens the file at a path; what it gives reads the image of a number, 1 the first, 0 the only."""


def opened_tiffs(read: Callable[[str], bytes]) -> OpenFile:
    """TIFFs whose bytes ``read`` gives."""

    def open_file(path: str) -> Callable[[int], Plane]:
        content = read(path)
        decoded = cache(partial(_decode_several, content))  # once for all channels of the file

        def image(number: int) -> Plane:
            return _numbered(decoded(), number) if number else decode_plane(content)

        return image

    return open_file


def decode_plane(content: bytes) -> Plane:
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
            is_plane = len(shape) == 2 and 0 < int(np.prod(shape, dtype=np.int64)) <= _LARGEST_PLANE
            n_images = 1
            if is_plane:
                _refuse_other_meaning(page)
                n_images = _images_in(header, shape)
    except UnusablePlane:
        raise
    except Exception as error:  # damaged headers fail in a dozen ways; all mean one thing
        raise UnusablePlane("unreadable", f"no TIFF: {error}") from error
    if not is_plane:
        colours = f"; {_OF_SEVERAL}" if shape[-1:] in ((3,), (4,)) else ""
        raise UnusablePlane("wrong_shape", f"shape {shape}, not (height, width){colours}")
    if n_images > 1:
        raise UnusablePlane("wrong_shape", f"{n_images} images in one file; {_OF_SEVERAL}")
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
    return usable_plane(np.asarray(plane))


def _refuse_many_pages(header: tifffile.TiffFile) -> None:
    """Counting pages is quick, reading them is not: a damaged file can claim thousands.

    Raises:
        UnusablePlane: There are more than any site has channels.
    """
    if (number := len(header.pages)) > _MOST_PAGES:
        raise UnusablePlane("wrong_shape", f"{number} images in one file; {_OF_SEVERAL}")


def _refuse_other_meaning(page: Any) -> None:
    """A file may say that its numbers are no brightness, or its rows no rows.

    Raises:
        UnusablePlane: Bright is dark in it, numbers are places in a table of colours, or it is
            turned or mirrored.
    """
    if page.photometric in (_MIN_IS_WHITE, _PALETTE):
        raise UnusablePlane(
            "unreadable", f"its numbers are no brightness: photometric is {page.photometric.name}"
        )
    orientation = page.tags.get(_ORIENTATION)
    if orientation is not None and orientation.value != 1:
        raise UnusablePlane(
            "unreadable", f"it is turned or mirrored: its orientation is {int(orientation.value)}"
        )


def _images_in(header: tifffile.TiffFile, shape: tuple[int, ...]) -> int:
    """How many images of the first one's size a file holds; a thumbnail is smaller.

    ImageJ and others keep a whole stack behind one page, and say so in its description.
    """
    _refuse_many_pages(header)
    if any(other.size > header.pages[0].size for other in header.pages):
        raise UnusablePlane("wrong_shape", "the first of its images is smaller than another")
    pages = sum(other.shape == shape for other in header.pages)
    if pages > 1 or not header.pages[0].description:
        return pages
    sizes = header.series[0].shape
    return max(pages, int(np.prod(sizes, dtype=np.int64)) // int(np.prod(shape, dtype=np.int64)))


def _decode_several(content: bytes) -> NDArray[Any]:
    """All channels ``(C, H, W)`` of a TIFF that holds those of one site.

    Raises:
        UnusablePlane: It cannot be decoded, or has other axes.
    """
    try:
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            _refuse_many_pages(file)
            series = file.series[0]
            _refuse_other_meaning(file.pages[0])
            if (n_alike := sum(other.shape == series.shape for other in file.series)) > 1:
                raise UnusablePlane("wrong_shape", f"{n_alike} series of images in one file")
            order, n_channels = _axes_of_channels(series)
            images = series.asarray().transpose(order)
    except UnusablePlane:
        raise
    except Exception as error:
        raise UnusablePlane("unreadable", f"no TIFF: {error}") from error
    return np.asarray(images.reshape((n_channels, *images.shape[-2:])))


def _numbered(images: NDArray[Any], number: int) -> Plane:
    """The image of a channel, counted from 1.

    Raises:
        UnusablePlane: As `decode_plane` does.
    """
    if not 1 <= number <= len(images):
        raise UnusablePlane("wrong_shape", f"{len(images)} channels, none of number {number}")
    return usable_plane(np.ascontiguousarray(images[number - 1]))


def channels_of(content: bytes) -> list[str]:
    """Names of a TIFF's channels as OME metadata give them; ``""`` for each that has none.

    Raises:
        UnusablePlane: It is no TIFF, or its axes are other than channels, rows and columns.
    """
    try:
        with tifffile.TiffFile(io.BytesIO(content)) as file:
            _refuse_many_pages(file)
            _, n_channels = _axes_of_channels(file.series[0])
            described = tifffile.xml2dict(file.ome_metadata) if file.is_ome else {}
    except UnusablePlane:
        raise
    except Exception as error:
        raise UnusablePlane("unreadable", f"no TIFF: {error}") from error
    image = described.get("OME", {}).get("Image", {})
    pixels = (image[0] if isinstance(image, list) else image).get("Pixels", {})
    channels = pixels.get("Channel", [])
    named = [
        str(c.get("Name", "")) for c in ([channels] if isinstance(channels, dict) else channels)
    ]
    return named if len(named) == n_channels else [""] * n_channels


def _axes_of_channels(series: Any) -> tuple[list[int], int]:
    """The order of axes that ends in channels, rows, columns, and the number of channels.

    Channels are the axis that is neither rows nor columns; no other may be longer than one.
    """
    sizes = dict(zip(series.axes, series.shape, strict=True))
    longer = [axis for axis, size in sizes.items() if size > 1 and axis not in "YX"]
    if len(longer) > 1 or not {"Y", "X"} <= set(sizes) or set(longer) - set("CSIQ"):
        raise UnusablePlane(
            "wrong_shape", f"axes {series.axes} of {series.shape}: one of channels is read"
        )
    if int(np.prod(series.shape, dtype=np.int64)) > 32 * _LARGEST_PLANE:
        raise UnusablePlane("wrong_shape", f"shape {series.shape} is too large")
    last = [series.axes.index(axis) for axis in [*longer, "Y", "X"]]
    rest = [place for place in range(len(series.axes)) if place not in last]
    return [*rest, *last], sizes[longer[0]] if longer else 1


def usable_plane(plane: NDArray[Any]) -> Plane:
    """The same plane, unless it holds no counts, or is black or white.

    Raises:
        UnusablePlane: ``wrong_dtype``, ``all_zero`` or ``saturated``.
    """
    if plane.dtype not in (np.uint8, np.uint16):
        raise UnusablePlane("wrong_dtype", f"{plane.dtype}, neither uint8 nor uint16")
    brightest = int(plane.max())
    if brightest == 0:
        raise UnusablePlane("all_zero", "every pixel is 0")
    if (
        brightest in _TOPS
        and (share := np.count_nonzero(plane == brightest) / plane.size) > _MOST_SATURATED
    ):
        raise UnusablePlane("saturated", f"{share:.0%} of the pixels are at the top")
    return plane


def _place_of_raw_pixels(page: Any, n_bytes: int) -> int | None:
    """Where the file holds the plane as it lies in memory, so that nothing need be decoded."""
    if not page.is_contiguous or page.parent.byteorder != "<":
        return None
    place = int(page.dataoffsets[0])
    return place if 0 < place <= n_bytes - page.size * page.dtype.itemsize else None
