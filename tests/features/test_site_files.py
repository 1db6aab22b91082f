"""Which site features are there, which are missing, and how a plate is packed."""

import re
from typing import Any

import pandas as pd
import pytest
import torch

from morphoclip.columns import CHANNEL, PLATE, SITE, WELL
from morphoclip.errors import InputError
from morphoclip.features.site_files import (
    pack_plate,
    plate_record,
    refuse_mixing,
    site_key,
    sites_of_plates,
    were_made_by,
    without_features,
)
from morphoclip.imaging.file_names import NamePattern
from morphoclip.imaging.preprocess import SiteImages
from morphoclip.imaging.tiff import opened_tiffs

FINGERPRINT = {"model": "vit", "size": "32"}
SITES = [("BR2", "B01", 1), ("BR1", "B01", 2), ("BR1", "B01", 1), ("BR1", "A02", 1)]


def index(*sites: tuple[str, str, int]) -> pd.DataFrame:
    """Two channels a site, as in ``site_index``."""
    rows = [(*site, channel) for site in sites for channel in ("DNA", "ER")]
    return pd.DataFrame(rows, columns=[PLATE, WELL, SITE, CHANNEL])


def images(plate: str, well: str, site: int) -> SiteImages:
    return SiteImages(plate, well, site, {}, opened_tiffs(str.encode))


@pytest.mark.parametrize(
    ("well", "site", "stem"),
    [("A01", 1, "r01c01f01"), ("P24", 9, "r16c24f09"), ("AF48", 123, "r32c48f123")],
)
def test_a_sites_key_is_its_plate_and_the_stem_of_its_images(
    well: str, site: int, stem: str
) -> None:
    assert site_key("BR00117010", well, site) == f"BR00117010/{stem}"
    key = NamePattern("opera_phenix").read(f"{stem}p01-ch1sk1fk1fl1.tiff")
    assert key is not None
    assert (key.well, key.site) == (well, site)


def test_plates_that_are_named_are_kept_and_none_means_all() -> None:
    table = index(*SITES)
    assert sites_of_plates(table, None) is table
    assert sites_of_plates(table, ("BR2",)).equals(index(SITES[0]))
    assert sites_of_plates(table, ("BR2", "BR1")).equals(table)


def test_plates_outside_the_index_are_refused_by_name() -> None:
    message = "names 2 plate(s) that site_index does not hold: BR3, BR4; run kedro run --pipeline"
    with pytest.raises(InputError, match=re.escape(message)):
        sites_of_plates(index(*SITES), ("BR4", "BR1", "BR3"))


def test_only_sites_without_a_file_are_left_to_do_and_in_their_order() -> None:
    sites = [images(*site) for site in SITES]
    left = without_features(sites, ["BR1/r02c01f01", "BR2/r01c02f01"])
    assert [(s.plate, s.well, s.site) for s in left] == [SITES[0], SITES[1], SITES[3]]


def test_features_made_differently_are_not_added_to_a_plate() -> None:
    existing = {"BR1": lambda: {"fingerprint": FINGERPRINT | {"size": "64"}}}
    message = (
        r"plate BR1 on disk were made differently \(size: 32, not 64\).*"
        "give this one a name, --params image_features.name:"
    )
    with pytest.raises(InputError, match=message):
        refuse_mixing(existing, ["BR0", "BR1"], FINGERPRINT)


def test_plates_that_are_new_or_made_alike_are_not_refused() -> None:
    read = []

    def record(plate: str) -> dict[str, object]:
        read.append(plate)
        return {"fingerprint": FINGERPRINT | ({"size": "64"} if plate == "BR9" else {})}

    existing = {plate: (lambda plate=plate: record(plate)) for plate in ("BR1", "BR9")}
    refuse_mixing(existing, ["BR1", "BR2"], dict(FINGERPRINT))
    assert read == ["BR1"], "plates of no concern are not read"


def test_a_plates_record_holds_its_fingerprint_and_its_grey_levels() -> None:
    levels = pd.DataFrame({CHANNEL: ["DNA", "ER"], "p0_1": [1.0, 2.0]}, index=[7, 3])
    assert plate_record(FINGERPRINT, levels, "abc") == {
        "fingerprint": FINGERPRINT,
        "backbone": "abc",
        "plate_intensities": [{CHANNEL: "DNA", "p0_1": 1.0}, {CHANNEL: "ER", "p0_1": 2.0}],
        "images": None,
    }


def test_features_are_known_to_be_of_a_backbone_only_if_every_record_names_it() -> None:
    def record(backbone: str | None) -> Any:
        return lambda: {"fingerprint": FINGERPRINT, "backbone": backbone}

    records = {"BR1": record("abc"), "BR2": record("abc"), "BR3": record("xyz")}
    assert were_made_by("abc", records, ["BR1", "BR2"])
    assert not were_made_by("abc", records, ["BR1", "BR3"])
    assert not were_made_by("abc", records, ["BR1", "BR4"]), "a plate without a record"
    assert not were_made_by("abc", {"BR1": lambda: {"fingerprint": FINGERPRINT}}, ["BR1"])
    assert not were_made_by(None, {"BR1": record(None)}, ["BR1"]), "a folder says nothing"


def test_a_plate_is_packed_in_order_of_wells_without_the_sites_that_have_no_file() -> None:
    features = {site_key(*site): torch.full((2, 3), float(n)) for n, site in enumerate(SITES)}
    del features["BR1/r02c01f02"]
    existing = {key: (lambda tokens=tokens: tokens) for key, tokens in features.items()}
    packed = pack_plate("BR1", index(*SITES), existing, FINGERPRINT)
    assert packed.sites.to_numpy().tolist() == [["BR1", "A02", 1], ["BR1", "B01", 1]]
    assert packed.tokens[:, 0, 0].tolist() == [3, 2]
    assert packed.tokens.shape == (2, 2, 3)
    assert packed.fingerprint == FINGERPRINT


def test_the_order_of_the_index_changes_nothing_in_a_packed_plate() -> None:
    existing = {
        site_key(*site): (lambda n=n: torch.full((2, 3), float(n))) for n, site in enumerate(SITES)
    }
    table = index(*SITES)
    packed = pack_plate("BR1", table, existing, FINGERPRINT)
    assert packed.equals(pack_plate("BR1", table[::-1], existing, FINGERPRINT))


def test_a_plate_without_any_usable_site_is_refused() -> None:
    existing = {"BR2/r02c01f01": lambda: torch.ones(2, 3)}
    with pytest.raises(InputError, match="no site of plate BR1 could be used; set_aside_sites"):
        pack_plate("BR1", index(*SITES), existing, FINGERPRINT)
