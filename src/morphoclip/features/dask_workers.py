"""What a Dask worker does: some sites of a plate in, their features out."""

import socket
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from importlib.metadata import version
from typing import Any, Protocol

import pandas as pd
import torch
from numpy.typing import NDArray

from morphoclip.backbones.adapter import Adapter
from morphoclip.device import resolve_device
from morphoclip.errors import InputError
from morphoclip.features.config import ImageFeaturesConfig
from morphoclip.features.encoding import Encoder
from morphoclip.features.plate_work import Encoded, encoded_sites, measured_levels
from morphoclip.fingerprint import Fingerprint, differences
from morphoclip.imaging.preprocess import SiteImages
from morphoclip.imaging.tiff import OpenFile

VERSION = version("morphoclip")

Illumination = Mapping[str, NDArray[Any]]


class ImageFolder(Protocol):
    """A folder of images that can be sent to a worker."""

    def images(self, at_least: int | None = None) -> OpenFile:
        """Opens images, as the gallery's `ImageFiles` does."""


@dataclass(frozen=True)
class Recipe:
    """What a worker has to know once: how features are made, and where images are read.

    Attributes:
        name: Of this run; a worker keeps one backbone, that of the last run.
        config: `params:image_features`.
        files: The folder of images.
        stored_pixels: Pixels per side to read where images are stored at several resolutions.
        adapter: What is put on the backbone, or None.
        threads: Of each worker; None leaves them as they are.
        version: Of MorphoCLIP.
    """

    name: str
    config: ImageFeaturesConfig
    files: ImageFolder
    stored_pixels: int | None
    adapter: Adapter | None
    threads: int | None
    version: str = VERSION


class _Worker:
    """A recipe's backbone, loaded once in this process."""

    def __init__(self, recipe: Recipe) -> None:
        if recipe.version != VERSION:
            raise InputError(
                f"the worker on {socket.gethostname()} has MorphoCLIP {VERSION}, "
                f"and the run {recipe.version}: install the same on all machines"
            )
        config = recipe.config
        if recipe.threads is not None:
            torch.set_num_threads(recipe.threads)
            if config.preprocess.workers == "auto":
                own = config.preprocess.model_copy(update={"workers": recipe.threads})
                config = config.model_copy(update={"preprocess": own})
        self.name = recipe.name
        self.encoder = Encoder(config, recipe.adapter, _own_device(config.device))
        self.open_image = recipe.files.images(recipe.stored_pixels)

    def sites(self, sites: Sequence[SiteImages], illumination: Illumination) -> list[SiteImages]:
        """Sites as they are read here."""
        return [
            replace(site, open_file=self.open_image, illumination=illumination) for site in sites
        ]


_worker: _Worker | None = None


def _of(recipe: Recipe) -> _Worker:
    global _worker
    if _worker is None or _worker.name != recipe.name:
        _worker = None  # two backbones may not fit into memory
        _worker = _Worker(recipe)
    return _worker


def _own_device(device: str) -> str:
    """The device of this worker; those that this machine numbers have a GPU each."""
    from distributed import get_worker

    number = str(get_worker().name)
    if device in ("auto", "cuda") and torch.cuda.is_available() and number.isdecimal():
        return f"cuda:{int(number) % torch.cuda.device_count()}"
    return resolve_device(device)


def kept(value: Any) -> Any:
    """A value as the result of a task, which is made again where the worker that had it is gone."""
    return value


def fingerprint(recipe: Recipe) -> Fingerprint:
    """What features are made with here."""
    return _of(recipe).encoder.fingerprint


def measure(
    recipe: Recipe, sites: Sequence[SiteImages], illumination: Illumination
) -> pd.DataFrame:
    """Grey levels of a plate over some of its sites."""
    worker = _of(recipe)
    config = worker.encoder.config
    own = worker.sites(sites, illumination)
    return measured_levels(own, config.channels, workers=config.preprocess.n_workers)


def encode(
    recipe: Recipe,
    sites: Sequence[SiteImages],
    illumination: Illumination,
    levels: pd.DataFrame,
    expected: Fingerprint,
) -> Encoded:
    """Features of a batch of sites.

    Raises:
        InputError: This worker's backbone is another one than that of the first.
    """
    worker = _of(recipe)
    here = worker.encoder.fingerprint
    if here != expected:
        raise InputError(
            f"the worker on {socket.gethostname()} has another model: "
            f"{', '.join(differences(here, expected))}; give all workers the same weights"
        )
    (encoded,) = encoded_sites(worker.encoder, worker.sites(sites, illumination), levels)
    return encoded


def without_readers(sites: Sequence[SiteImages]) -> list[SiteImages]:
    """Sites as they travel to a worker: which files, not how they are opened here."""
    return [replace(site, open_file=_not_here, illumination={}) for site in sites]


def _not_here(path: str) -> Any:
    raise RuntimeError(f"{path} is opened by a worker")
