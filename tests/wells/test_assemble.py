"""Packed features of plates, joined with their wells."""

import weakref
from dataclasses import replace
from functools import partial

import pandas as pd
import pytest
import torch

from morphoclip.columns import N_SITES, PLATE, ROLE, WELL
from morphoclip.errors import InputError
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.plate_correction import TokenNormalisation
from morphoclip.wells.featured import wells_with_features

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


def test_one_plate_is_held_beside_the_whole() -> None:
    alive: set[str] = set()
    most = []

    def load(plate: str) -> PlateFeatures:
        features = packed(plate, 2, 3)
        alive.add(plate)
        weakref.finalize(features, alive.discard, plate)
        most.append(len(alive))
        return features

    names = [f"P{n}" for n in range(6)]
    wells = pd.concat([WELLS[:2].assign(**{PLATE: name}) for name in names], ignore_index=True)
    loaders = {name: partial(load, name) for name in names}
    found = wells_with_features(loaders, wells, TokenNormalisation.NONE)
    assert len(found.table) == 12
    assert max(most) <= 2


def test_sites_that_came_after_the_index_have_room() -> None:
    features = {plate: (lambda plate=plate: packed(plate, 2, 3)) for plate in ("P1", "P2")}
    fewer = WELLS.assign(**{N_SITES: [1, 1, 1, 1]}).iloc[[0, 2, 3]]
    more = PlateFeatures.pack(
        "P1", [("A01", n) for n in range(1, 6)], torch.ones(5, 2, 3), {"model": "x"}
    )
    found = wells_with_features(features | {"P1": lambda: more}, fewer, TokenNormalisation.NONE)
    assert found.sites.offsets.tolist() == [0, 5, 6, 7]
    assert (found.sites.tokens[:5] == 1).all()


def test_plates_that_were_made_differently_are_all_told() -> None:
    names = ("P1", "P2", "P3")
    wells = pd.concat([WELLS[:2].assign(**{PLATE: name}) for name in names], ignore_index=True)
    models = {"P1": "x", "P2": "y", "P3": "y"}
    loaders = {
        name: partial(replace, packed(name, 2, 3), fingerprint={"model": models[name]})
        for name in names
    }
    with pytest.raises(InputError, match="P2") as caught:
        wells_with_features(loaders, wells, TokenNormalisation.NONE)
    assert "model" in str(caught.value)
