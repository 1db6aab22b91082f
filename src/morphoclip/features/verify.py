"""Whether stored features are all there, whole, and made as this run would make them."""

from collections.abc import Callable, Mapping
from typing import Any

import pandas as pd
import torch

from morphoclip.backbones.image import model_name
from morphoclip.errors import InputError, example_of
from morphoclip.features.extract import ImageFeaturesConfig, settings_of
from morphoclip.features.stored_sites import site_key
from morphoclip.schemas import FEATURE_CHECK, PLATE, SITE, WELL

Loaders = Mapping[str, Callable[[], Any]]


def check_plates(  # noqa: PLR0913 - what is on disk, piece by piece
    site_index: pd.DataFrame,
    set_aside: pd.DataFrame | None,
    stored: Loaders,
    records: Loaders,
    packed: Loaders,
    config: ImageFeaturesConfig,
) -> pd.DataFrame:
    """One row a plate; every stored site is read.

    ``expected`` sites are those of the index less those set aside with a reason. A fingerprint is
    stale when it was not made with the present parameters.
    """
    rows = []
    for plate, sites in site_index[[PLATE, WELL, SITE]].drop_duplicates().groupby(PLATE):
        keys = {site_key(*site) for site in sites.itertuples(index=False)}
        if set_aside is not None:
            own = set_aside.loc[set_aside[PLATE] == plate, [PLATE, WELL, SITE]]
            keys -= {site_key(*site) for site in own.itertuples(index=False)}
        present = keys & set(stored)
        damaged = [key for key in sorted(present) if not _is_whole(stored[key], config)]
        missing = sorted(keys - present)
        stale = _stale_settings(records.get(plate), config)
        first = missing[:1] or damaged[:1] or stale[:1]
        rows.append(
            {
                PLATE: plate,
                "expected": len(keys),
                "present": len(present) - len(damaged),
                "missing": len(missing),
                "damaged": len(damaged),
                "stale": len(stale),
                "packed": plate in packed,
                "example": first[0] if first else None,
            }
        )
    return pd.DataFrame(rows)[list(FEATURE_CHECK.columns)]


def require_complete(check: pd.DataFrame) -> None:
    """Refuse features that are not all there.

    Raises:
        InputError: Naming the plates and what to do.
    """
    faults = check[(check[["missing", "damaged", "stale"]].sum(axis=1) > 0) | ~check["packed"]]
    if len(faults):
        damaged = int(faults["damaged"].sum())
        raise InputError(
            f"the features of {len(faults)} of {len(check)} plate(s) are incomplete: "
            f"{example_of(faults[PLATE])}; e.g. {faults['example'].iloc[0] or 'not packed'}. "
            + (f"Delete the {damaged} damaged file(s), then run " if damaged else "Run ")
            + "kedro run --pipeline image_features"
        )


def _is_whole(load: Callable[[], Any], config: ImageFeaturesConfig) -> bool:
    try:
        tokens = load()
    except Exception:
        return False
    return (
        isinstance(tokens, torch.Tensor)
        and tokens.ndim == 2
        and len(tokens) == len(config.channels)
        and bool(torch.isfinite(tokens).all())
    )


def _stale_settings(load: Callable[[], Any] | None, config: ImageFeaturesConfig) -> list[str]:
    if load is None:
        return ["no fingerprint"]
    fingerprint = load()["fingerprint"]
    return [
        f"{name}: {fingerprint.get(name, 'absent')}, not {value}"
        for name, value in ({"model": model_name(config.backbone)} | settings_of(config)).items()
        if fingerprint.get(name) != value
    ]
