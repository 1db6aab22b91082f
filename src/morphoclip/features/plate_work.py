"""What is to be done for each plate, and who does it: this process, or workers."""

from collections.abc import Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import pandas as pd

from morphoclip.columns import CHANNEL, PLATE
from morphoclip.features.encoding import Chunk, Encoder, key_of
from morphoclip.fingerprint import Fingerprint
from morphoclip.imaging.preprocess import SiteImages, measure_plate
from morphoclip.progress import watched
from morphoclip.schemas.features import PLATE_INTENSITIES


@dataclass(frozen=True)
class PlateWork:
    """A plate's sites without features, and what its grey levels are measured on or known to be.

    ``sampled`` is empty where ``known_levels`` are there.
    """

    plate: str
    missing: Sequence[SiteImages]
    sampled: Sequence[SiteImages]
    known_levels: pd.DataFrame | None


class Encoded(NamedTuple):
    """What is saved of some sites, and the keys of those that have no features."""

    chunk: Chunk
    without: list[str]


class PlateFailed(Exception):
    """A plate that could not be extracted, with the reason; others may be."""


class Extraction(Protocol):
    """Plates to grey levels and features, in the order in which they are given."""

    @property
    def fingerprint(self) -> Fingerprint:
        """What features are made with; the backbone is loaded for it."""

    def running(self, works: Mapping[str, PlateWork]) -> AbstractContextManager[object]:
        """Work on these plates until the block ends."""

    def levels(self, work: PlateWork) -> pd.DataFrame:
        """Grey levels of a plate's channels.

        Raises:
            PlateFailed: They cannot be measured, and other plates may go on.
            InputError: They cannot be measured.
        """

    def encoded(self, work: PlateWork, levels: pd.DataFrame) -> Iterator[Encoded]:
        """A plate's features, some sites at a time, in order.

        Raises:
            PlateFailed: They cannot be made, and other plates may go on.
            InputError: They cannot be made.
        """


class LocalExtraction:
    """In this process, plate after plate.

    Args:
        encoder: The backbone.
        measure_first: Whether all plates are measured before one is encoded: what stops a plate is
            told before hours of work.
    """

    def __init__(self, encoder: Encoder, *, measure_first: bool) -> None:
        self._encoder, self._measures_first = encoder, measure_first
        self._measured: dict[str, pd.DataFrame] = {}

    @property
    def fingerprint(self) -> Fingerprint:
        """What features are made with."""
        return self._encoder.fingerprint

    @contextmanager
    def running(self, works: Mapping[str, PlateWork]) -> Iterator[None]:
        """Measure, where plates are measured first."""
        if self._measures_first:
            for work in watched(works.values(), "measuring grey levels", transient=True):
                self._measured[work.plate] = self.levels(work)
        yield

    def levels(self, work: PlateWork) -> pd.DataFrame:
        """Grey levels of a plate's channels over a sample of its sites."""
        if work.known_levels is not None:
            return work.known_levels
        if work.plate in self._measured:
            return self._measured[work.plate]
        config = self._encoder.config
        return measured_levels(work.sampled, config.channels, workers=config.preprocess.n_workers)

    def encoded(self, work: PlateWork, levels: pd.DataFrame) -> Iterator[Encoded]:
        """A plate's features, a batch at a time."""
        yield from encoded_sites(self._encoder, work.missing, levels)


def encoded_sites(
    encoder: Encoder, sites: Sequence[SiteImages], levels: pd.DataFrame
) -> Iterator[Encoded]:
    """Features of a plate's sites, a batch at a time."""
    for batch in encoder.encode(sites, levels):
        without = [key_of(site.images) for site in batch.sites if site.pixels is None]
        yield Encoded(encoder.chunk(batch), without)


def measured_levels(
    sites: Sequence[SiteImages], channels: Mapping[str, object], *, workers: int
) -> pd.DataFrame:
    """Grey levels of a plate's channels over some of its sites: one row per channel.

    Raises:
        InputError: Not one of the sites can be used, or a channel has no contrast.
    """
    levels = measure_plate(sites, channels, workers=workers)
    rows = [{PLATE: sites[0].plate, CHANNEL: name, **own} for name, own in levels.items()]
    return levels_table(rows)


def levels_table(rows: Sequence[Mapping[str, object]]) -> pd.DataFrame:
    """Grey levels as the catalog keeps them."""
    return pd.DataFrame(rows).reindex(columns=list(PLATE_INTENSITIES.columns))
