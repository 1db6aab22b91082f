"""Images of plates: listed when asked for, read image by image."""

import base64
import io
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
import pandas as pd
import tifffile
from kedro.io import AbstractDataset
from kedro_datasets._typing import ImagePreview
from matplotlib.figure import Figure
from numpy.typing import NDArray

from morphoclip.datasets.spreadsheet import SpreadsheetDataset
from morphoclip.errors import InputError
from morphoclip.files import written_whole
from morphoclip.gallery.image_files import ImageFiles
from morphoclip.gallery.proposal import first_images
from morphoclip.imaging.sites import FoundImage
from morphoclip.imaging.tiff import OpenFile

_SITES_SHOWN = 3
"""About what fills the shape of kedro viz's panel, which stretches what it shows."""

PlateImages = dict[str, dict[str, NDArray[np.uint16]]]


class PlateImagesDataset(AbstractDataset[PlateImages, ImageFiles]):
    """Loads a folder that lists and reads on demand; saves ``{folder: {file name: (H, W)}}``.

    ``instead`` is the folder, where one is named; or a LoadData table that lists images, or the
    path of such tables with ``{plate}`` in it. Below ``copies`` lie files that were fetched.
    """

    def __init__(
        self,
        *,
        path: str,
        instead: str | None = None,
        fs_args: dict[str, Any] | None = None,
        copies: str | None = None,
        checksums: bool = True,
        metadata: dict[str, Any] | None = None,
    ) -> None:
        self._path = instead or path
        self._fs_args = fs_args or {}
        self._copies, self._checksums = None if copies is None else Path(copies), checksums
        self.metadata = metadata

    def load(self) -> ImageFiles:
        suffixes = {suffix.lower() for suffix in PurePosixPath(self._path).suffixes}
        if not suffixes & {".csv", ".parquet"}:
            return self._files(self._path)
        if "{plate}" in self._path:
            return self._files(self._path, read_table=self._read_table)
        folder = self._path.rpartition("/")[0] or "."
        return self._files(folder, table=self._read_table(self._path))

    def _files(self, url: str, **tables: Any) -> ImageFiles:
        return ImageFiles(
            url, self._fs_args, copies=self._copies, checksums=self._checksums, **tables
        )

    def _read_table(self, place: str) -> pd.DataFrame:
        called = "the LoadData table (ingestion.source.images)"
        table = SpreadsheetDataset(filepath=place, called=called, fs_args=self._fs_args).load()
        assert table is not None
        return table

    def save(self, data: PlateImages) -> None:
        for folder, images in data.items():
            target = Path(self._path) / folder / "Images"
            for name, image in images.items():
                with written_whole(target / name) as path:
                    tifffile.imwrite(path, image, compression="lzw", photometric="minisblack")

    def preview(self) -> ImagePreview:
        """The channels of the first sites side by side, each image stretched to its own range."""
        files = self.load()
        try:
            figure = _side_by_side(first_images(files), files.images())
        except InputError as error:
            figure = Figure(figsize=(8, 1), layout="constrained")
            figure.text(0.5, 0.5, str(error), ha="center", va="center", wrap=True, fontsize=8)
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=100)
        return ImagePreview(base64.b64encode(buffer.getvalue()).decode())

    def _exists(self) -> bool:
        files = self.load()
        is_listed = files.table is not None or files.read_table is not None
        return is_listed or bool(files.folders() or files.files())

    def _describe(self) -> dict[str, Any]:
        return {"path": self._path}


def _side_by_side(images: list[FoundImage], open_file: OpenFile) -> Figure:
    of_site = {((image.well, image.site), image.channel): image for image in images}
    sites = sorted({site for site, _ in of_site})[:_SITES_SHOWN]
    channels = sorted({image.channel for image in images}, key=str)
    figure = Figure(figsize=(2 * len(channels), 2.2 * len(sites)), layout="constrained")
    grid = figure.subplots(len(sites), len(channels), squeeze=False)
    for row, site in zip(grid, sites, strict=True):
        for axes, channel in zip(row, channels, strict=True):
            axes.axis("off")
            called = f"ch{channel}" if isinstance(channel, int) else channel
            axes.set_title(f"{site[0]} site {site[1]} {called}", fontsize=10)
            if image := of_site.get((site, channel)):
                axes.imshow(open_file(image.path)(image.number), cmap="gray")
    return figure
