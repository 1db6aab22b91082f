"""The images of OME-Zarr plates: one folder per plate, which says itself where its wells are."""

from collections.abc import Mapping

from morphoclip.config import Names
from morphoclip.errors import InputError, example_of
from morphoclip.gallery.image_files import ImageFiles
from morphoclip.imaging.file_names import Channel
from morphoclip.imaging.ome_zarr import STORE_SUFFIX, ZarrImage, images_of_store
from morphoclip.imaging.sites import FoundImage
from morphoclip.well_names import plate_name, well_name, well_position

_ROUNDED = 0.01
"""Pixel sizes that differ by less are one that was rounded."""


def holds_zarr(files: ImageFiles) -> bool:
    """Whether a folder is an OME-Zarr plate, or holds some."""
    return _is_store(files.name) or any(_is_store(folder) for folder in files.folders())


class ZarrPlates:
    """The images of each OME-Zarr plate of a folder, or of the one that it is.

    Fields of a well are its sites, numbered from 1 in the order that the well lists them.

    Args:
        files: The folder.
        channels: Channel names to labels of the plates' channels, or their numbers.
        wanted: Barcodes; others are not opened.
        pixel_size: Micrometres per pixel that were stated, to be held against the plates' own.

    Raises:
        InputError: Two folders are of one plate.
    """

    def __init__(
        self,
        files: ImageFiles,
        channels: Mapping[str, Channel],
        wanted: Names | None = None,
        pixel_size: float | None = None,
    ) -> None:
        self._pixel_size = pixel_size
        self._files, self._channels = files, channels
        self._is_one = _is_store(files.name)
        folders = [files.name] if self._is_one else [f for f in files.folders() if _is_store(f)]
        self._folder_of: dict[str, str] = {}
        for folder in folders:
            plate = plate_of_store(folder)
            if plate in self._folder_of:
                raise InputError(
                    f"plate {plate} has two folders, {self._folder_of[plate]} and {folder}; move "
                    "the one that is not wanted elsewhere"
                )
            if wanted is None or plate in wanted:
                self._folder_of[plate] = folder
        beside = [f"{folder}/" for folder in files.folders() if not _is_store(folder)]
        self.others = [] if self._is_one else [*files.files(), *beside]
        """Files and folders beside the plates."""

    @property
    def plates(self) -> list[str]:
        """Barcodes, sorted."""
        return sorted(self._folder_of)

    def of(self, plate: str) -> list[FoundImage]:
        """All images of a plate.

        Raises:
            InputError: It is no plate, has several acquisitions or time points, or another pixel
                size than was stated.
        """
        folder = self._folder_of[plate]
        below = "" if self._is_one else f"{folder}/"
        images = images_of_store(self._files.store(below.rstrip("/")), folder)
        acquisitions = sorted({image.acquisition or 0 for image in images})
        if len(acquisitions) > 1:
            raise InputError(
                f"plate {folder} has {len(acquisitions)} acquisitions "
                f"({example_of(acquisitions)}), and one is read; copy the one that is wanted into "
                "a plate of its own"
            )
        if several := [image for image in images if image.n_times > 1]:
            raise InputError(
                f"{len(several)} image(s) of plate {folder} have several time points, e.g. "
                f"{several[0].path} has {several[0].n_times}; copy one of them into a plate of its "
                "own"
            )
        self._check_pixel_size(images, folder)
        by_number = any(isinstance(called, int) for called in self._channels.values())
        sites: dict[str, int] = {}
        found = []
        for image in images:
            well = _well_of(image, folder)
            sites[well] = sites.get(well, 0) + 1
            for number, label in enumerate(image.channels, start=1):
                called = number if by_number else label
                path = f"{below}{image.path}"
                found.append(FoundImage(plate, well, sites[well], called, path, number))
        return found

    def _check_pixel_size(self, images: list[ZarrImage], folder: str) -> None:
        stated = self._pixel_size
        others = [
            image
            for image in images
            if stated and image.pixel_size and abs(image.pixel_size / stated - 1) > _ROUNDED
        ]
        if others:
            raise InputError(
                f"{len(others)} image(s) of plate {folder} have another pixel size than "
                f"image_features.preprocess.pixel_size, {stated:g} µm, e.g. {others[0].path} has "
                f"{others[0].pixel_size:g}; state what the plate says"
            )


def plate_of_store(folder: str) -> str:
    """``BR001__2024.ome.zarr`` is of plate BR001."""
    stem = folder[: -len(STORE_SUFFIX)]
    return plate_name(stem.removesuffix(".ome").split("__", 1)[0])


def _is_store(name: str) -> bool:
    return name.lower().endswith(STORE_SUFFIX)


def _well_of(image: ZarrImage, folder: str) -> str:
    try:
        return well_name(*well_position(f"{image.row}{image.column}"))
    except InputError as error:
        raise InputError(
            f"plate {folder} has a row {image.row!r} and a column {image.column!r}: {error}"
        ) from error
