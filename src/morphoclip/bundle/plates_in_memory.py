"""Tokens that a notebook holds, as the plates that the rest of the project reads."""

from collections.abc import Sequence
from functools import partial
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import ArrayLike
from torch import Tensor

from morphoclip.columns import N_SITES, PLATE, ROLE, SITE, WELL, Role
from morphoclip.errors import InputError
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.fingerprint import Fingerprint
from morphoclip.loaders import Loaders
from morphoclip.well_names import well_name, well_position


class MemoryPlates(NamedTuple):
    """Plates by barcode, and their wells with the number of sites."""

    features: Loaders[PlateFeatures]
    well_index: pd.DataFrame


def sites_table(
    n_sites: int,
    wells: Sequence[str],
    plates: str | Sequence[str],
    controls: ArrayLike | None,
) -> pd.DataFrame:
    """Plate, well, site number and role of each site ``(S,)``, in the order given.

    Args:
        n_sites: S.
        wells: Name of each site's well.
        plates: Barcode of each site's plate, or of all.
        controls: Which sites are of negative controls, bool; none by default.

    Raises:
        InputError: The lengths differ, or a name is that of no well.
    """
    all_plates = [plates] * n_sites if isinstance(plates, str) else list(plates)
    mask = np.zeros(n_sites, dtype=bool) if controls is None else np.asarray(controls)
    given = {"wells": len(wells), "plates": len(all_plates), "controls": len(mask)}
    if wrong := [f"{name} has {size}" for name, size in given.items() if size != n_sites]:
        raise InputError(f"there are {n_sites} sites and {wrong[0]} entries: one per site is due")
    if mask.dtype != bool:
        raise InputError("controls has to be true or false for each site")
    names = [well_name(*well_position(str(well))) for well in wells]
    table = pd.DataFrame({PLATE: [str(plate) for plate in all_plates], WELL: names})
    table[SITE] = table.groupby([PLATE, WELL]).cumcount() + 1
    table[ROLE] = np.where(mask, Role.NEGCON, Role.TRT)
    return table


def plates_of_tokens(tokens: Tensor, sites: pd.DataFrame, fingerprint: Fingerprint) -> MemoryPlates:
    """Plates of tokens ``(S, C, D)`` whose sites are the rows of a table."""
    features = {}
    for plate, rows in sites.groupby(PLATE):
        places = list(rows[[WELL, SITE]].itertuples(index=False, name=None))
        of_plate = tokens[torch.from_numpy(rows.index.to_numpy().copy())]
        packed = PlateFeatures.pack(str(plate), places, of_plate, fingerprint)
        features[str(plate)] = partial(_same, packed)
    by_well = sites.groupby([PLATE, WELL], sort=True)
    if sites.drop_duplicates([PLATE, WELL, ROLE]).duplicated([PLATE, WELL]).any():
        raise InputError("some sites of a well are controls and others are not")
    well_index = by_well[ROLE].first().reset_index()
    well_index[N_SITES] = by_well.size().to_numpy()
    return MemoryPlates(features, well_index)


def _same(packed: PlateFeatures) -> PlateFeatures:
    return packed
