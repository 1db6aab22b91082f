"""Which images the features of a plate were made of.

Features are found by plate, well and site. Two screens may share these, and so do two time points.
"""

import hashlib
from collections import defaultdict
from collections.abc import Callable, Iterable
from typing import Any

import pandas as pd
from pydantic import BaseModel

from morphoclip.columns import CHANNEL, IMAGE_NUMBER, PATH, PLATE, SITE, WELL
from morphoclip.errors import InputError
from morphoclip.imaging.sites import site_name
from morphoclip.loaders import Loaders


class MadeOf(BaseModel):
    """What tells a plate's images from others.

    Attributes:
        first: Name of the first image's file.
        content: What changes with that file's content; None where it could not be told.
        sites: Name of each site -> digest of the names of its images.
    """

    first: str
    content: str | None = None
    sites: dict[str, str]


def names_of_images(sites: pd.DataFrame) -> dict[str, str]:
    """Of one plate: name of each site -> digest of its files' names, wherever their folder lies."""
    named = sites.sort_values([WELL, SITE, CHANNEL])
    files = named[PATH].str.rsplit("/", n=1).str[-1] + "#" + named[IMAGE_NUMBER].astype("str")
    lines = (named[CHANNEL] + "=" + files).groupby([named[WELL], named[SITE]])
    return {
        site_name(well, int(site)): hashlib.sha256("|".join(own).encode()).hexdigest()[:16]
        for (well, site), own in lines
    }


def other_images(known: MadeOf | None, now: MadeOf, present: Iterable[str]) -> list[str]:
    """The sites with features that were made of other images than there are now.

    Args:
        known: As the record beside the features has it; None in records of before.
        now: As the site index and its files have it.
        present: Names of the sites that have features.
    """
    if known is None:
        return []
    made = sorted(set(present) & set(known.sites) & set(now.sites))
    contents = {known.content, now.content} - {None}
    if known.first == now.first and len(contents) > 1:
        return made
    return [site for site in made if known.sites[site] != now.sites[site]]


def images_of_plates(
    sites: pd.DataFrame,
    records: Loaders[Any],
    features: Iterable[str],
    content_of: Callable[[str], str | None],
) -> dict[str, MadeOf]:
    """What each plate's features are made of, those of before and those to come.

    Args:
        sites: The site index.
        records: The records beside features that there are.
        features: Keys of the sites that have features, ``<plate>/<site>``.
        content_of: Path -> what changes with a file's content; None where it cannot be told.

    Raises:
        InputError: Features were made of other images than the site index names now.
    """
    of_plate: dict[str, list[str]] = defaultdict(list)
    for key in features:
        plate, _, site = key.partition("/")
        of_plate[plate].append(site)
    found = {}
    for plate, own in sites.groupby(PLATE):
        first = own.sort_values([WELL, SITE, CHANNEL])[PATH].iloc[0]
        now = MadeOf(
            first=first.rsplit("/", 1)[-1], content=content_of(first), sites=names_of_images(own)
        )
        known = known_images(records[plate]()) if plate in records else None
        if differing := other_images(known, now, of_plate[str(plate)]):
            raise InputError(
                f"the features of {len(differing)} site(s) of plate {plate} were made of other "
                f"images than site_index names now, e.g. {differing[0]}. Keep both: --params "
                "image_features.name:<name>, or a data folder of its own (MORPHOCLIP_DATA); to "
                "make them anew, delete the plate's folder below 04_feature/site_features"
            )
        before = known.sites if known else {}
        found[str(plate)] = now.model_copy(update={"sites": before | now.sites})
    return found


def known_images(record: dict[str, Any]) -> MadeOf | None:
    """What a record says of a plate's images; None in those of before."""
    written = record.get("images")
    return MadeOf.model_validate(written) if written else None
