"""Whether stored features are all there, whole, and made as this run would make them."""

from collections.abc import Callable
from typing import Any

import pandas as pd
import torch
from torch import Tensor

from morphoclip.backbones.adapter import Adapter
from morphoclip.columns import PLATE, SITE, WELL
from morphoclip.errors import InputError, example_of
from morphoclip.features.config import ImageFeaturesConfig
from morphoclip.features.extract import named_settings
from morphoclip.features.made_of import MadeOf, known_images, names_of_images, other_images
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.features.site_files import restricted, site_key
from morphoclip.fingerprint import Fingerprint, differences
from morphoclip.loaders import Loaders
from morphoclip.schemas.features import FEATURE_CHECK


def check_plates(
    site_index: pd.DataFrame,
    set_aside: pd.DataFrame | None,
    existing: Loaders[Any],
    records: Loaders[dict[str, Any]],
    packed: Loaders[PlateFeatures],
    config: ImageFeaturesConfig,
    adapter: Adapter | None = None,
) -> pd.DataFrame:
    """One row per plate; every file is read.

    ``packed`` says whether the packed file is whole and holds what the sites' files hold;
    ``expected`` sites are those of the index less those set aside with a reason. A fingerprint is
    stale when it was not made with the present parameters.
    """
    rows = []
    for plate, images in site_index.groupby(PLATE):
        sites = images[[PLATE, WELL, SITE]].drop_duplicates()
        keys = {site_key(*site) for site in sites.itertuples(index=False)}
        if set_aside is not None:
            left_out = set_aside.loc[set_aside[PLATE] == plate, [PLATE, WELL, SITE]]
            keys -= {site_key(*site) for site in left_out.itertuples(index=False)}
        present = keys & set(existing)
        missing = sorted(keys - present)
        stale = _stale_settings(records.get(plate), named_settings(config, adapter))
        if not stale:
            stale = _of_other_images(records[plate](), images, present)
        n_tokens = None if stale else config.n_tokens  # of other parameters, others may be right
        ordered = sites.sort_values([WELL, SITE]).itertuples(index=False)
        in_order = [site_key(*site) for site in ordered]
        read = {key: _tokens(existing[key], n_tokens) for key in in_order if key in present}
        damaged = [key for key, tokens in read.items() if tokens is None]
        is_packed = _holds(packed.get(str(plate)), [t for t in read.values() if t is not None])
        first = missing[:1] or damaged[:1] or stale[:1]
        rows.append(
            {
                PLATE: plate,
                "expected": len(keys),
                "present": len(present) - len(damaged),
                "missing": len(missing),
                "damaged": len(damaged),
                "stale": len(stale),
                "packed": is_packed,
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
        examples = faults["example"].dropna()
        example = examples.iloc[0] if len(examples) else "not packed"
        stale = faults[faults["stale"] > 0]
        if len(stale) and not (damaged or faults["missing"].sum()):
            raise InputError(
                f"the features of {len(stale)} of {len(check)} plate(s) are whole, and were made "
                f"with other parameters than this run's: {example_of(stale[PLATE])}; e.g. "
                f"{example}. Give the parameters that they were made with, or name another set: "
                "image_features.name"
            )
        raise InputError(
            f"the features of {len(faults)} of {len(check)} plate(s) are incomplete: "
            f"{example_of(faults[PLATE])}; e.g. {example}. "
            + (f"Delete the {damaged} damaged file(s), then run " if damaged else "Run ")
            + "kedro run --pipeline image_features"
        )


def _tokens(load: Callable[[], Any], n_tokens: int | None) -> Tensor | None:
    """A site's tokens ``(T, D)``; None where the file is damaged."""
    try:
        tokens = load()
    except Exception:
        return None
    is_whole = (
        isinstance(tokens, Tensor)
        and tokens.ndim == 2
        and (n_tokens is None or len(tokens) == n_tokens)
        and bool(torch.isfinite(tokens).all())
    )
    return tokens if is_whole else None


def _holds(load: Callable[[], PlateFeatures] | None, sites: list[Tensor]) -> bool:
    """Whether a plate's packed file is whole and holds what its sites' files hold, in order."""
    if load is None:
        return False
    try:
        tokens = load().tokens
    except Exception:
        return False
    if any(site.shape != sites[0].shape for site in sites) or len(sites) != len(tokens):
        return False
    return not sites or torch.equal(tokens, torch.stack(sites).to(tokens.dtype))


def _of_other_images(record: dict[str, Any], images: pd.DataFrame, present: set[str]) -> list[str]:
    """Sites whose features were made of images of other names."""
    known = known_images(record)
    if known is None:
        return []
    now = MadeOf(first="", sites=names_of_images(images))
    sites = (key.partition("/")[2] for key in present)
    return [f"{site} was made of other images" for site in other_images(known, now, sites)]


def _stale_settings(load: Callable[[], Any] | None, expected: Fingerprint) -> list[str]:
    if load is None:
        return ["no fingerprint"]
    return differences(restricted(load()["fingerprint"], expected), expected)
