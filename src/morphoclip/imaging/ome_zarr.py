"""Images of an OME-Zarr plate, read by ngio: which there are, and one plane of one of them."""

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from morphoclip.errors import InputError
from morphoclip.imaging.tiff import Plane, UnusablePlane, usable_plane

STORE_SUFFIX = ".zarr"
"""How the name of a plate's folder ends."""


class ZarrImage(NamedTuple):
    """One image of a well.

    Attributes:
        row: Name of the row, ``B``.
        column: Name of the column, ``03``.
        path: Below the plate, ``B/03/0``.
        acquisition: Number of its acquisition; None where the plate names none.
        channels: Labels of its channels, in order.
        n_times: Its time points.
        pixel_size: Micrometres per pixel of the largest resolution; None where it is not known.
    """

    row: str
    column: str
    path: str
    acquisition: int | None
    channels: tuple[str, ...]
    n_times: int
    pixel_size: float | None


def images_of_store(store: Any, name: str) -> list[ZarrImage]:
    """Every image of a plate (HCS, versions 0.4 and 0.5), wells and fields in the plate's order.

    Args:
        store: A path, or an fsspec mapping.
        name: What sentences call the plate.

    Raises:
        InputError: It is no plate, or ngio is not installed.
    """
    ngio = _ngio()
    try:
        plate = ngio.open_ome_zarr_plate(store, mode="r", cache=True)
        paths = plate.images_paths(max_workers=_AT_A_TIME)
    except Exception as error:  # metadata fail in a dozen ways; all mean one thing
        raise InputError(
            f"{name} cannot be read as an OME-Zarr plate ({_first_line(error)}); a plate of "
            "version 0.4 or 0.5 has rows, columns and wells, each with its images"
        ) from error
    try:
        images = plate.get_images(max_workers=_AT_A_TIME)
    except Exception as error:
        raise InputError(
            f"{_unreadable(plate, paths)} of {name} is listed by its well and cannot be read "
            f"({_first_line(error)}); write it, or take it out of the well's list"
        ) from error
    found = []
    for path, image in images.items():
        row, column, place = path.split("/", 2)
        well = plate.get_well(row, column)
        largest = image.get_image()
        found.append(
            ZarrImage(
                row,
                column,
                path,
                well.get_image_acquisition_id(place),
                tuple(image.channel_labels),
                int(largest.dimensions.get("t", default=1)),
                largest.pixel_size.x if image.space_unit == "micrometer" else None,
            )
        )
    return found


def opened_image(store: Any, at_least: int | None) -> Callable[[int], Plane]:
    """Reads channels of one image, counted from 1: its lowest plane ``(H, W)``, first time point.

    Args:
        store: The image, a path or an fsspec mapping.
        at_least: Pixels per side that are wanted: of the stored resolutions, the smallest that has
            as many is read. None reads the largest.

    Raises:
        UnusablePlane: It cannot be read.
        FileNotFoundError: It is not there.
    """
    ngio = _ngio()
    try:
        container = ngio.open_ome_zarr_container(store, mode="r", cache=True)
        levels = [container.get_image(path=path) for path in container.level_paths]
    except FileNotFoundError:
        raise
    except Exception as error:
        raise UnusablePlane("unreadable", f"no OME-Zarr image: {_first_line(error)}") from error
    level = _level(levels, at_least)

    def image(number: int) -> Plane:
        n_channels = level.dimensions.get("c", default=1)
        if not 1 <= number <= n_channels:
            raise UnusablePlane("wrong_shape", f"{n_channels} channels, none of number {number}")
        place = tuple(
            slice(None) if axis in ("y", "x") else number - 1 if axis == "c" else 0
            for axis in level.axes
        )
        try:
            plane = np.ascontiguousarray(level.zarr_array[place])
        except Exception as error:
            raise UnusablePlane("unreadable", f"cannot be decoded: {error}") from error
        return usable_plane(plane)

    return image


_AT_A_TIME = 8
"""Images whose metadata are read at a time: over a network each is a round trip."""


def _unreadable(plate: Any, paths: list[str]) -> str:
    """The first image of a plate that cannot be opened."""
    for path in paths:
        row, column, place = path.split("/", 2)
        try:
            plate.get_image(row, column, place)
        except Exception:
            return f"the image {path}"
    return "an image"


def _level(levels: list[Any], at_least: int | None) -> Any:
    largest_first = sorted(levels, key=_side, reverse=True)
    large_enough = [level for level in largest_first if at_least and _side(level) >= at_least]
    return large_enough[-1] if large_enough else largest_first[0]


def _side(level: Any) -> int:
    return min(int(level.dimensions.get("y")), int(level.dimensions.get("x")))


def _first_line(error: Exception) -> str:
    return (str(error).strip() or type(error).__name__).splitlines()[0]


def _ngio() -> Any:
    try:
        import ngio
    except ImportError as error:
        raise InputError(
            "OME-Zarr plates need the package ngio, which is not installed: pip install "
            "'morphoclip[ome-zarr]'"
        ) from error
    return ngio
