"""Wells that have features: plates read one by one, and normalised each by itself."""

from collections.abc import Mapping
from typing import NamedTuple

import pandas as pd
import torch
from torch import Tensor

from morphoclip.columns import N_SITES, PLATE, ROLE, SITE, WELL, Role
from morphoclip.errors import InputError, example_of
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.fingerprint import Fingerprint, as_models_see_it, require_same
from morphoclip.loaders import Loaders
from morphoclip.plate_effects import (
    SETTING,
    TokenNormalisation,
    less_plane,
    normalise_tokens,
    reference_wells,
)
from morphoclip.well_names import well_position
from morphoclip.wells.batch import WellBatch


class FeaturedWells(NamedTuple):
    """Wells that have features, in the order of ``table``.

    Attributes:
        table: The well index of these wells; ``n_sites`` counts those with features.
        sites: Their sites, packed, normalised; tokens float16.
        fingerprint: What the tokens were made with.
    """

    table: pd.DataFrame
    sites: WellBatch
    fingerprint: Fingerprint

    def batch(self, rows: Tensor, device: str) -> WellBatch:
        """What the model is given of these wells ``(B',)``, on the device."""
        return self.sites.select(rows).to(device)

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
) -> FeaturedWells:
    """Read the plates' features and normalise them per plate; no text is needed.

    Args:
        plate_features: Barcode -> a function that loads the plate.
        well_index: The wells; those without sites are left out.
        normalisation: `model.token_normalisation`.

    Raises:
        InputError: A plate has no features, or plates were made differently or have other shapes.
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
    tables: list[pd.DataFrame] = []
    tokens, n_filled = torch.empty(0, dtype=torch.float16), 0
    for plate in plates:  # one beside the whole, not all of them twice
        features = plate_features[plate]()
        made_by[plate], shapes[plate] = features.fingerprint, tuple(features.tokens.shape[1:])
        if not _go_together(made_by, shapes):
            continue  # what differs is told of all plates
        table, own = _wells_of_plate(features, present, normalisation)
        if n_filled + len(own) > len(tokens):
            n_at_most = max(int(present[N_SITES].sum()), n_filled + len(own))
            tokens = _longer(tokens[:n_filled], n_at_most, shapes[plate])
        tokens[n_filled : n_filled + len(own)] = own
        n_filled += len(own)
        tables.append(table)
    fingerprint = _the_same(made_by, shapes)
    table = pd.concat(tables, ignore_index=True)
    n_sites = torch.from_numpy(table[N_SITES].to_numpy().copy())
    offsets = torch.cat([n_sites.new_zeros(1), n_sites.cumsum(0)])
    return FeaturedWells(table, WellBatch(tokens[:n_filled], offsets), fingerprint)


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


def _longer(tokens: Tensor, n_rows: int, shape: tuple[int, ...]) -> Tensor:
    """The same tokens with room for more; pages that are never filled take no memory."""
    longer = torch.empty((n_rows, *shape), dtype=torch.float16)
    longer[: len(tokens)] = tokens.view(-1, *shape)
    return longer


def _wells_of_plate(
    features: PlateFeatures, wells: pd.DataFrame, normalisation: TokenNormalisation
) -> tuple[pd.DataFrame, Tensor]:
    """One plate's wells that have features, and their normalised tokens in well order."""
    sites = features.sites.sort_values([PLATE, WELL, SITE])
    tokens = features.tokens[torch.from_numpy(sites.index.to_numpy().copy())].float()
    sites = sites.reset_index(drop=True)
    counts = sites.groupby(WELL).size()
    table = wells[(wells[PLATE] == features.plate) & wells[WELL].isin(counts.index)]
    table = table.sort_values(WELL).reset_index(drop=True)
    table[N_SITES] = counts.reindex(table[WELL]).to_numpy()
    reference = set(table.loc[_is_reference(table, normalisation), WELL])
    is_reference = torch.from_numpy(sites[WELL].isin(reference).to_numpy().copy())
    if normalisation is TokenNormalisation.NEGCON_PLANE_ZSCORE:
        positions = torch.tensor([well_position(well) for well in sites[WELL]])
        tokens = less_plane(tokens, positions, is_reference, plate=features.plate)
    normalised = normalise_tokens(tokens, is_reference, normalisation, plate=features.plate)
    if not torch.isfinite(normalised.half()).all():
        raise InputError(
            f"plate {features.plate}: features normalised by its negative controls are too large "
            "for half precision, as when controls hardly differ from each other; look at its "
            f"controls, or set {SETTING} to none"
        )
    kept = torch.from_numpy(sites[WELL].isin(set(table[WELL])).to_numpy().copy())
    return table, normalised[kept].to(torch.float16)


def _is_reference(table: pd.DataFrame, normalisation: TokenNormalisation) -> pd.Series:
    """The wells of a plate that its tokens are normalised by, ``(B,)`` bool."""
    if normalisation is TokenNormalisation.PLATE_ZSCORE:
        return table[ROLE] != Role.EMPTY
    return reference_wells(table)
