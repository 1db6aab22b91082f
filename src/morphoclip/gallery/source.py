"""Plate folders of the Cell Painting Gallery layout on any fsspec path."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import PurePath
from typing import Annotated, Any, Literal

import fsspec
from pydantic import BeforeValidator, Field

from morphoclip.config import Config, Names
from morphoclip.errors import InputError, example_of


def _all_or_names(value: Any) -> Any:
    if value is None or value == "":
        raise ValueError("write all, or barcodes as in BR00117010+BR00117011")
    return None if value == "all" else value


class SourceConfig(Config):
    """Where the gallery is; the catalog builds its paths from the same globals."""

    root: str = Field(description="Folder or bucket that holds images/ and workspace/.")
    batch: str = Field(description="The batch to read: a folder below images/ and workspace/.")
    experiment_metadata: str | None = Field(None, description="experiment-metadata.tsv, optional.")
    annotations: str | None = Field(None, description="Compound table with moa_list, optional.")
    gene_annotations: str | None = Field(None, description="gene_annotations.tsv, optional.")
    official_splits: str | None = Field(None, description="cpjump1_metadata.csv, optional.")
    description: str | None = Field(None, description="Said about the data at the top of a report.")


class IngestionConfig(Config):
    """``params:ingestion``."""

    source: SourceConfig
    experiment: Literal["cpjump1", "other"] = Field(
        "cpjump1", description="cpjump1 asserts its published counts; other asserts none."
    )
    plates: Annotated[Names | None, BeforeValidator(_all_or_names)] = Field(
        None, description="Barcodes to work on; `all` takes every plate that is there."
    )


@dataclass(frozen=True)
class PlateFolder:
    """The images of one plate: ``<barcode>__<time>-Measurement<n>/Images/*.tiff``."""

    url: str
    storage_options: Mapping[str, Any]

    @property
    def name(self) -> str:
        """Folder name, which starts with the barcode."""
        return self.url.rstrip("/").rsplit("/", 1)[-1]

    @property
    def barcode(self) -> str:
        """Text before the first double underscore."""
        return self.name.split("__", 1)[0]

    def _images(self) -> tuple[fsspec.AbstractFileSystem, str]:
        filesystem, path = fsspec.core.url_to_fs(self.url, **self.storage_options)
        return filesystem, f"{path.rstrip('/')}/Images"

    def image_names(self) -> list[str]:
        """Names of all files below ``Images/``, sorted.

        Raises:
            InputError: The folder has no ``Images/``, or it is empty.
        """
        filesystem, path = self._images()
        if not filesystem.isdir(path):
            raise InputError(
                f"plate folder {self.name} has no folder Images/: its TIFFs belong there, as in "
                f"{self.name}/Images/r01c01f01p01-ch1sk1fk1fl1.tiff"
            )
        names = sorted(entry.rsplit("/", 1)[-1] for entry in filesystem.ls(path, detail=False))
        if not names:
            raise InputError(
                f"plate folder {self.name} is empty: download its images again, or leave the plate "
                "out with ingestion.plates"
            )
        return names

    def read(self, name: str) -> bytes:
        """The bytes of one file below ``Images/``."""
        filesystem, path = self._images()
        content: bytes = filesystem.cat_file(f"{path}/{name}")
        return content


class PlateFolders(Mapping[str, PlateFolder]):
    """Folder name -> plate folder; nothing below a folder is listed before it is asked for."""

    def __init__(self, url: str, storage_options: Mapping[str, Any] | None = None) -> None:
        self._options = dict(storage_options or {})
        filesystem, path = fsspec.core.url_to_fs(url, **self._options)
        entries = filesystem.ls(path, detail=True) if filesystem.isdir(path) else []
        self._names = sorted(
            entry["name"].rstrip("/").rsplit("/", 1)[-1]
            for entry in entries
            if entry["type"] == "directory"
        )
        self._url = url.rstrip("/")

    def __getitem__(self, name: str) -> PlateFolder:
        if name not in self._names:
            raise KeyError(name)
        return PlateFolder(f"{self._url}/{name}", self._options)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)


def redact_path(place: str) -> str:
    """A place as others may see it: no path of somebody's disk, no key of somebody's bucket."""
    scheme, separator, rest = place.rpartition("://")
    if separator and scheme != "file":
        return f"{scheme}://{rest.rpartition('@')[2]}"
    path = PurePath(rest)
    return f".../{path.name}" if path.is_absolute() else place


def folders_by_barcode(folders: Mapping[str, PlateFolder]) -> dict[str, PlateFolder]:
    """Barcode -> its folder.

    Raises:
        InputError: A plate was measured twice: two folders have its barcode.
    """
    by_barcode: dict[str, PlateFolder] = {}
    for folder in folders.values():
        other = by_barcode.setdefault(folder.barcode, folder)
        if other is not folder:
            raise InputError(
                f"plate {folder.barcode} has two folders, {other.name} and {folder.name}; move the "
                "one that is not wanted out of the batch"
            )
    return by_barcode


def choose_plates(available: list[str], listed: list[str], wanted: Names | None) -> list[str]:
    """The barcodes to work on, in order.

    Args:
        available: Barcodes that have images or profiles.
        listed: Barcodes that the barcode map lists.
        wanted: `ingestion.plates`; None takes all available ones.

    Raises:
        InputError: A wanted plate is not there, or a plate is there that no barcode map knows.
    """
    if wanted is not None:
        absent = sorted(set(wanted) - set(available))
        if absent:
            raise InputError(
                f"ingestion.plates names {len(absent)} plate(s) that are not there: "
                f"{example_of(absent)}; there are {len(available)}: {example_of(sorted(available))}"
            )
    chosen = sorted(available if wanted is None else set(wanted))
    if not chosen:
        raise InputError(
            "no plate is there: the folder of the batch holds none; check ingestion.source.root "
            "and ingestion.source.batch"
        )
    strangers = [barcode for barcode in chosen if barcode not in set(listed)]
    if strangers:
        raise InputError(
            f"{len(strangers)} plate(s) that barcode_platemap.csv does not list: "
            f"{example_of(strangers)}; add them to the map or name the plates to work on in "
            "ingestion.plates"
        )
    return chosen
