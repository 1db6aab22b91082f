"""Wells that have features: plates read one by one, and normalised each by itself."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Literal, NamedTuple

import pandas as pd
import torch
from torch import Tensor

from morphoclip.columns import N_SITES, PLATE, ROLE, SITE, WELL, Role
from morphoclip.device import available_memory
from morphoclip.errors import InputError, example_of
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.fingerprint import Fingerprint, as_models_see_it, require_same
from morphoclip.loaders import Extent, Loaders, extent_of
from morphoclip.plate_correction import (
    Correction,
    TokenNormalisation,
    fit_correction,
    reference_wells,
)
from morphoclip.wells.ahead import Take, read_ahead
from morphoclip.wells.batch import WellBatch
from morphoclip.wells.sites_on_disk import SitesOnDisk, not_finite

Placement = Literal["auto", "ram", "mmap"]
"""Where tokens lie until a batch asks for them: in memory, or in the plates' files."""

_PART_OF_MEMORY = 0.5
"""Tokens that would fill more than this of what is free stay in their files."""


class FeaturedWells(NamedTuple):
    """Wells that have features, in the order of ``table``.

    Attributes:
        table: The well index of these wells; ``n_sites`` counts those with features.
        sites: Their sites, packed, normalised; tokens float16.
        fingerprint: What the tokens were made with.
    """

    table: pd.DataFrame
    sites: WellBatch | SitesOnDisk
    fingerprint: Fingerprint

    def batch(self, rows: Tensor, device: str) -> WellBatch:
        """What the model is given of these wells ``(B',)``, on the device."""
        return self.sites.read(rows).to(device)

    def ahead(self, batches: Sequence[Tensor]) -> Iterator[Take]:
        """`batch` of one batch after the other, the next read meanwhile."""
        return read_ahead(self.sites, batches)

    def mean_features(self) -> pd.DataFrame:
        """Mean over sites of each well's tokens, channels side by side: ``(B, C * D)``.

        What profiles look like without any training; indexed by plate and well.
        """
        means = self.sites.means().flatten(1).numpy()
        return pd.DataFrame(means, index=pd.MultiIndex.from_frame(self.table[[PLATE, WELL]]))


def wells_with_features(
    plate_features: Loaders[PlateFeatures],
    well_index: pd.DataFrame,
    normalisation: TokenNormalisation,
    placement: Placement = "auto",
) -> FeaturedWells:
    """Read the plates' features and normalise them per plate; no text is needed.

    Args:
        plate_features: Barcode -> a function that loads the plate.
        well_index: The wells; those without sites are left out.
        normalisation: `model.token_normalisation`.
        placement: ``mmap`` keeps of each plate what it is normalised by, and reads tokens when they
            are asked for; ``auto`` does so where they would fill half of the free memory.

    Raises:
        InputError: A plate has no features, plates were made differently or have other shapes, or
            their files cannot be read in parts.
    """
    present = well_index[well_index[N_SITES] > 0]
    plates = sorted(present[PLATE].unique())
    absent = [plate for plate in plates if plate not in plate_features]
    if absent:
        raise InputError(
            f"{len(absent)} of {len(plates)} plates have no features: {example_of(absent)}; run "
            "kedro run --pipeline image_features for them, name another feature set "
            "(image_features.name), or kedro run --pipelines ingestion,splitting with "
            "ingestion.plates to work on the others alone"
        )
    made_by: dict[str, Fingerprint] = {}
    shapes: dict[str, tuple[int, ...]] = {}
    wells_of = dict(iter(present.groupby(PLATE, sort=False)))
    tables: list[pd.DataFrame] = []
    kept: _InMemory | _OnDisk | None = None
    for plate in plates:  # one beside the whole, not all of them twice
        features = plate_features[plate]()
        if features.plate != plate:
            raise InputError(
                f"the packed features of plate {plate} are those of plate {features.plate}: files "
                "go by the barcode; run kedro run --pipeline image_features, or import_features"
            )
        made_by[plate], shapes[plate] = features.fingerprint, tuple(features.tokens.shape[1:])
        if not _go_together(made_by, shapes):
            continue  # what differs is told of all plates
        own = _wells_of_plate(features, wells_of[plate], normalisation)
        if kept is None:
            n_at_most = int(present[N_SITES].sum())
            n_bytes = n_at_most * features.tokens[0].nbytes if len(features.tokens) else 0
            extent = None if placement == "ram" else _extent_of(features, plate_features)
            stays = _stays_on_disk(placement, n_bytes, normalisation, extent)
            kept = _OnDisk() if stays else _InMemory(n_at_most)
        kept.add(features, own, plate_features)
        tables.append(own.table)
    fingerprint = _the_same(made_by, shapes)
    assert kept is not None
    table = pd.concat(tables, ignore_index=True)
    n_sites = torch.from_numpy(table[N_SITES].to_numpy().copy())
    offsets = torch.cat([n_sites.new_zeros(1), n_sites.cumsum(0)])
    return FeaturedWells(table, kept.sites(offsets), fingerprint)


def _stays_on_disk(
    placement: Placement, n_bytes: int, normalisation: TokenNormalisation, extent: Extent | None
) -> bool:
    """Whether tokens are read when they are asked for.

    Raises:
        InputError: They should be, and cannot.
    """
    reason = None
    if normalisation is TokenNormalisation.NEGCON_SPHERING:
        reason = "negcon_sphering holds a square matrix per plate and channel"
    elif extent is None:
        reason = "these features are no plain files of this machine"
    if placement == "mmap" and reason:
        raise InputError(
            f"training.placement mmap reads features from their files, and {reason}: set "
            "model.token_normalisation to negcon_zscore, or training.placement to ram"
        )
    is_large = n_bytes > _PART_OF_MEMORY * available_memory()
    return placement == "mmap" or (placement == "auto" and is_large and not reason)


def _go_together(made_by: Mapping[str, Fingerprint], shapes: Mapping[str, tuple[int, ...]]) -> bool:
    """Whether the plates read so far may be made alike and have one shape."""
    seen = {tuple(sorted(as_models_see_it(own).items())) for own in made_by.values()}
    return len(seen) == 1 and len(set(shapes.values())) == 1


def _the_same(
    made_by: Mapping[str, Fingerprint], shapes: Mapping[str, tuple[int, ...]]
) -> Fingerprint:
    """What all plates were made with.

    Raises:
        InputError: They were made differently, or have other shapes.
    """
    if len({tuple(sorted(fingerprint.items())) for fingerprint in made_by.values()}) > 1:
        made_by = {plate: as_models_see_it(fingerprint) for plate, fingerprint in made_by.items()}
    fingerprint = require_same(
        made_by, "extract those plates again, or run ingestion with plates that go together"
    )
    first, *others = shapes
    if odd := [plate for plate in others if shapes[plate] != shapes[first]]:
        raise InputError(
            f"the packed features of {len(odd)} of {len(shapes)} plates have other channels or "
            f"dimensions, e.g. {odd[0]} {shapes[odd[0]]} and {first} {shapes[first]}: "
            "delete the packed file that is wrong and run kedro run --pipeline image_features"
        )
    return fingerprint


class _OwnWells(NamedTuple):
    """One plate's wells that have features.

    Attributes:
        table: Of the wells, in order.
        rows: Of their sites in the plate's tokens, ``(S,)``, one well after the other.
        place: Row and column of each site's well, ``(S, 2)``.
        correction: What tokens are less.
    """

    table: pd.DataFrame
    rows: Tensor
    place: Tensor
    correction: Correction


def _wells_of_plate(
    features: PlateFeatures, wells: pd.DataFrame, normalisation: TokenNormalisation
) -> _OwnWells:
    """One plate's wells that have features, and what their tokens are less."""
    sites = features.sites.sort_values([PLATE, WELL, SITE])
    rows = torch.from_numpy(sites.index.to_numpy().copy())
    place = features.positions[rows, :2].long()
    counts = sites.groupby(WELL).size()
    table = wells[wells[WELL].isin(counts.index)].sort_values(WELL).reset_index(drop=True)
    table[N_SITES] = counts.reindex(table[WELL]).to_numpy()
    reference = set(table.loc[_is_reference(table, normalisation), WELL])
    is_reference = torch.from_numpy(sites[WELL].isin(reference).to_numpy().copy())
    correction = fit_correction(
        features.tokens[rows[is_reference]].float(),
        place[is_reference],
        normalisation,
        plate=features.plate,
    )
    kept = torch.from_numpy(sites[WELL].isin(set(table[WELL])).to_numpy().copy())
    return _OwnWells(table, rows[kept], place[kept], correction)


class _InMemory:
    """Normalised tokens of one plate after the other."""

    def __init__(self, n_at_most: int) -> None:
        self._tokens = torch.empty(0, dtype=torch.float16)
        self._n_at_most, self._n_filled = n_at_most, 0

    def add(self, features: PlateFeatures, own: _OwnWells, _: Loaders[PlateFeatures]) -> None:
        tokens = own.correction.apply(features.tokens[own.rows].float(), own.place).half()
        if not torch.isfinite(tokens).all():
            raise not_finite([features.plate])
        filled = self._n_filled + len(tokens)
        if filled > len(self._tokens):  # pages that are never filled take no memory
            room = max(self._n_at_most, filled)
            longer = torch.empty((room, *tokens.shape[1:]), dtype=torch.float16)
            longer[: self._n_filled] = self._tokens[: self._n_filled].view(-1, *tokens.shape[1:])
            self._tokens = longer
        self._tokens[self._n_filled : filled] = tokens
        self._n_filled = filled

    def sites(self, offsets: Tensor) -> WellBatch:
        return WellBatch(self._tokens[: self._n_filled], offsets)


class _OnDisk:
    """Where tokens of one plate after the other lie, and what they are less."""

    def __init__(self) -> None:
        self._extents: list[Extent] = []
        self._plates: list[str] = []
        self._own: list[_OwnWells] = []
        self._site_shape = (0, 0)

    def add(self, features: PlateFeatures, own: _OwnWells, plates: Loaders[PlateFeatures]) -> None:
        extent = _extent_of(features, plates)
        if extent is None:
            raise InputError(
                f"the features of plate {features.plate} cannot be read in parts, as those of "
                "other plates can: pack them again (kedro run --pipeline image_features)"
            )
        self._extents.append(extent)
        self._plates.append(features.plate)
        self._site_shape = (features.tokens.shape[1], features.tokens.shape[2])
        self._own.append(own._replace(rows=own.rows.int(), place=own.place.to(torch.int16)))

    def sites(self, offsets: Tensor) -> SitesOnDisk:
        n_wells = torch.tensor([len(own.table) for own in self._own])
        places = torch.cat([own.place for own in self._own])
        return SitesOnDisk(
            files=tuple(self._extents),
            plates=tuple(self._plates),
            correction=Correction.stacked([own.correction for own in self._own]),
            plate_of_well=torch.arange(len(n_wells)).repeat_interleave(n_wells),
            place_of_well=places[offsets[:-1]] if len(offsets) > 1 else places,
            rows=torch.cat([own.rows for own in self._own]),
            offsets=offsets,
            site_shape=self._site_shape,
        )


def _extent_of(features: PlateFeatures, plates: Loaders[PlateFeatures]) -> Extent | None:
    """Where a plate's tokens lie on this machine's disks; None where they cannot be found."""
    content = features.tokens.contiguous().numpy().data.cast("B")
    return extent_of(plates[features.plate], content)


def _is_reference(table: pd.DataFrame, normalisation: TokenNormalisation) -> pd.Series:
    """The wells of a plate that its tokens are normalised by, ``(B,)`` bool."""
    if normalisation is TokenNormalisation.PLATE_ZSCORE:
        return table[ROLE] != Role.EMPTY
    return reference_wells(table)
