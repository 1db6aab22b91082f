"""Features of one screen or time point are never taken for those of another."""

import pandas as pd
import pytest
from project import Workspace

from morphoclip.columns import CHANNEL, IMAGE_NUMBER, PATH, PLATE, SITE, WELL
from morphoclip.errors import InputError
from morphoclip.features.made_of import images_of_plates, known_images
from morphoclip.features.site_files import site_key

SITES = pd.DataFrame(
    [
        ("P", "A01", site, channel, f"P/img_A01_s{site}_T1_{channel}.tif", 0)
        for site in (1, 2)
        for channel in ("DNA", "ER")
    ],
    columns=[PLATE, WELL, SITE, CHANNEL, PATH, IMAGE_NUMBER],
)
KEYS = [site_key("P", "A01", site) for site in (1, 2)]


def made(sites: pd.DataFrame = SITES, features=KEYS, known=None, content: str | None = "md5:1"):
    records = {} if known is None else {"P": lambda: {"images": known.model_dump()}}
    return images_of_plates(sites, records, features, lambda _: content)["P"]


def renamed(old: str, new: str) -> pd.DataFrame:
    return SITES.assign(**{PATH: SITES[PATH].str.replace(old, new)})


def test_the_same_images_in_another_folder_are_the_same() -> None:
    known = made()
    assert made(renamed("P/", "/other/disk/P/"), known=known) == known
    assert made(known=known, content=None).sites == known.sites


def test_images_of_another_time_point_are_refused() -> None:
    with pytest.raises(InputError, match=r"the features of 2 site.* of other images .*r01c01f01"):
        made(renamed("_T1_", "_T2_"), known=made())


def test_another_screen_with_the_same_names_is_refused() -> None:
    with pytest.raises(InputError, match="were made of other images"):
        made(known=made(), content="md5:2")


def test_sites_without_features_may_become_others() -> None:
    known = made(features=[])
    now = made(renamed("s2_T1_", "s2_T2_"), known=known, features=KEYS[:1])
    assert now.sites["r01c01f01"] == known.sites["r01c01f01"]
    assert now.sites["r01c01f02"] != known.sites["r01c01f02"]


def test_records_of_before_are_taken_as_they_are() -> None:
    assert known_images({"fingerprint": {}}) is None
    assert images_of_plates(SITES, {"P": dict}, KEYS, lambda _: "md5:9")["P"].content == "md5:9"


def test_two_screens_of_the_same_names_in_one_data_folder(tmp_path) -> None:
    """The second run stops; verify_features sees it by names alone."""
    workspace = Workspace(tmp_path)
    workspace.run("demo_gallery")
    workspace.run("ingestion", "image_features")
    workspace.run("image_features")
    images = workspace.load("site_index").sort_values([PLATE, WELL, SITE, CHANNEL])[PATH]
    root = workspace.data / "01_raw" / "images" / "synthetic" / "images"
    first, other = root / images.iloc[0], root / images.iloc[-1]
    content = first.read_bytes()
    first.write_bytes(other.read_bytes())
    with pytest.raises(InputError, match="were made of other images than site_index names now"):
        workspace.run("image_features")
    first.write_bytes(content)
    workspace.run("image_features", "verify_features")
