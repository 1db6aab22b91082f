"""Files of site features: which exist already, which are missing, and how a plate is packed."""

from collections.abc import Iterable
from typing import Any

import pandas as pd
import torch
from pydantic import BaseModel
from torch import Tensor

from morphoclip.columns import (
    PLATE,
    SITE,
    WELL,
)
from morphoclip.config import Names
from morphoclip.errors import InputError, example_of
from morphoclip.features.made_of import MadeOf
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.fingerprint import NAMED_WHERE_USED, Fingerprint, require_same
from morphoclip.imaging.preprocess import SiteImages
from morphoclip.imaging.sites import site_name
from morphoclip.loaders import Loaders


def site_key(plate: str, well: str, site: int) -> str:
    """Where a site's files lie below their folder: ``BR00117010/r01c01f01``."""
    return f"{plate}/{site_name(well, site)}"


def sites_of_plates(site_index: pd.DataFrame, plates: Names | None) -> pd.DataFrame:
    """The rows of these plates; None takes all.

    Raises:
        InputError: A plate is not in the index.
    """
    if plates is None:
        return site_index
    absent = sorted(set(plates) - set(site_index[PLATE]))
    if absent:
        raise InputError(
            f"ingestion.plates names {len(absent)} plate(s) that site_index does not hold: "
            f"{example_of(absent)}; run kedro run --pipeline ingestion for them first"
        )
    return site_index[site_index[PLATE].isin(plates)]


def without_features(sites: Iterable[SiteImages], *existing: Iterable[str]) -> list[SiteImages]:
    """The sites that lack a file in one of the folders (features, or images that are kept)."""
    present = set.intersection(*map(set, existing))
    return [s for s in sites if site_key(s.plate, s.well, s.site) not in present]


def restricted(on_disk: Fingerprint, fingerprint: Fingerprint) -> Fingerprint:
    """What is on disk, as far as it can be compared with a fingerprint that is not whole yet."""
    keys = set(fingerprint) | NAMED_WHERE_USED
    return {key: text for key, text in on_disk.items() if key in keys}


def refuse_mixing(existing: Loaders[Any], plates: Iterable[str], fingerprint: Fingerprint) -> None:
    """Refuse to add features to plates that hold features made differently.

    Only what ``fingerprint`` names is compared: it may be of a model that is not loaded yet.

    Raises:
        InputError: With the difference and the folder to move away.
    """
    for plate in plates:
        if plate in existing:
            on_disk = existing[plate]()["fingerprint"]
            named = restricted(on_disk, fingerprint)
            require_same(
                {f"plate {plate} on disk": named, "this run": fingerprint},
                "keep both side by side: give this one a name, --params image_features.name:<name>",
            )


def were_made_by(backbone: str | None, existing: Loaders[Any], plates: Iterable[str]) -> bool:
    """Whether the features of all plates are known to be of the backbone with these parameters."""
    return backbone is not None and all(
        plate in existing and existing[plate]().get("backbone") == backbone for plate in plates
    )


def plate_record(
    fingerprint: Fingerprint,
    intensities: pd.DataFrame,
    backbone: str | None,
    images: MadeOf | None = None,
) -> dict[str, Any]:
    """The record beside a plate's site features: how, of which images, and by which grey levels.

    ``backbone`` is the digest of the backbone's parameters, from which a later run knows that its
    backbone is the same one without loading it.
    """
    return {
        "fingerprint": fingerprint,
        "backbone": backbone,
        "plate_intensities": intensities.to_dict("records"),
        "images": images.model_dump() if images else None,
    }


def pack_plate(
    plate: str, site_index: pd.DataFrame, existing: Loaders[Any], fingerprint: Fingerprint
) -> PlateFeatures:
    """Pack a plate's site features, in order of wells.

    Raises:
        InputError: None of the plate's sites has features.
    """
    indexed = site_index.loc[site_index[PLATE] == plate, [WELL, SITE]].drop_duplicates()
    sites = [
        (well, int(site))
        for well, site in indexed.sort_values([WELL, SITE]).itertuples(index=False)
        if site_key(plate, well, site) in existing
    ]
    if not sites:
        raise InputError(
            f"no site of plate {plate} could be used; set_aside_sites says why: check its images"
        )
    tokens = [
        _checked(existing[key](), key)
        for key in (site_key(plate, well, site) for well, site in sites)
    ]
    if odd := [n for n, one in enumerate(tokens) if one.shape != tokens[0].shape]:
        raise InputError(
            f"the site features of plate {plate} are not alike: {tuple(tokens[0].shape)} and "
            f"{tuple(tokens[odd[0]].shape)} in {len(odd)} of {len(tokens)} sites, e.g. "
            f"{site_key(plate, *sites[odd[0]])}.pt; delete those files and run the same command "
            "again"
        )
    return PlateFeatures.pack(plate, sites, torch.stack(tokens), fingerprint)


def _checked(tokens: object, key: str) -> Tensor:
    """The tokens ``(T, D)`` of a site's file.

    Raises:
        InputError: The file holds something else.
    """
    if (
        isinstance(tokens, Tensor)
        and tokens.ndim == 2
        and tokens.is_floating_point()
        and torch.isfinite(tokens).all()
    ):
        return tokens
    what = f"{tokens.dtype} {tuple(tokens.shape)}" if isinstance(tokens, Tensor) else type(tokens)
    raise InputError(
        f"the site features {key}.pt hold {what}, not finite numbers (channels, dimensions): "
        "delete the file and run the same command again"
    )


class PlateRecord(BaseModel):
    """What lies beside a plate's site features; more may be in it."""

    fingerprint: dict[str, str]
    backbone: str | None = None
    plate_intensities: list[dict[str, str | float | None]]
    images: MadeOf | None = None
