"""Packed features of plates, joined with their wells."""

import pandas as pd
import pytest
import torch

from morphoclip.columns import N_SITES, PLATE, ROLE, WELL
from morphoclip.errors import InputError
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.plate_effects import TokenNormalisation
from morphoclip.wells.assemble import wells_with_features

WELLS = pd.DataFrame(
    {PLATE: ["P1", "P1", "P2", "P2"], WELL: ["A01", "A02"] * 2, ROLE: "trt", N_SITES: 1}
)


def packed(plate: str, *shape: int) -> PlateFeatures:
    tokens = torch.arange(2 * shape[0] * shape[1]).reshape(2, *shape).float()
    return PlateFeatures.pack(plate, [("A01", 1), ("A02", 1)], tokens, {"model": "x"})


def test_wells_come_in_order_of_plates_with_their_sites() -> None:
    features = {plate: (lambda plate=plate: packed(plate, 2, 3)) for plate in ("P2", "P1")}
    found = wells_with_features(features, WELLS, TokenNormalisation.NONE)
    assert found.table[[PLATE, WELL]].equals(WELLS[[PLATE, WELL]])
    assert found.sites.tokens.shape == (4, 2, 3)
    assert found.sites.offsets.tolist() == [0, 1, 2, 3, 4]


@pytest.mark.parametrize("shape", [(2, 4), (3, 3)])
def test_plates_of_other_shapes_under_one_fingerprint_are_refused(shape) -> None:
    features = {"P1": lambda: packed("P1", 2, 3), "P2": lambda: packed("P2", *shape)}
    with pytest.raises(InputError, match=r"of 1 of 2 plates have other channels .* P2 \(\d, \d\)"):
        wells_with_features(features, WELLS, TokenNormalisation.NONE)
