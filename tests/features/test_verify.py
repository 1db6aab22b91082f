"""Stored features that are missing, damaged or stale, plate by plate."""

import pandas as pd
import pytest
import torch

from morphoclip.columns import CHANNEL, DETAIL, PLATE, REASON, SITE, WELL
from morphoclip.errors import InputError
from morphoclip.features.extract import ImageFeaturesConfig, settings_of
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.features.site_files import site_key
from morphoclip.features.verify import check_plates, require_complete
from morphoclip.schemas.features import FEATURE_CHECK

CONFIG = ImageFeaturesConfig.model_validate(
    {"channels": {"DNA": 5, "ER": 4}, "backbone": {"model_id": "org/vit"}}
)
FINGERPRINT = {"model": "org/vit", "revision": "abc"} | settings_of(CONFIG)
SITES = [(plate, well, 1) for plate in ("BR1", "BR2") for well in ("A01", "A02", "A03")]
INDEX = pd.DataFrame(
    [(*site, channel) for site in SITES for channel in CONFIG.channels],
    columns=[PLATE, WELL, SITE, CHANNEL],
)
COUNTS = ["expected", "present", "missing", "damaged", "stale"]


def damaged_file() -> torch.Tensor:
    raise EOFError("ran out of input")


def packed_file(tokens: torch.Tensor):
    return lambda: PlateFeatures("P", tokens.half(), torch.zeros(len(tokens), 3), {})


WHOLE = dict.fromkeys(("BR1", "BR2"), packed_file(torch.ones(3, 2, 8)))


def check(
    features: dict[str, object] | None = None,
    set_aside: pd.DataFrame | None = None,
    packed: dict[str, object] | None = None,
    records: dict[str, dict[str, str] | None] | None = None,
) -> pd.DataFrame:
    """The check of two plates that are complete but for what is given; None takes a file away."""
    stored = {site_key(*site): (lambda: torch.ones(2, 8)) for site in SITES} | (features or {})
    fingerprints = {"BR1": FINGERPRINT, "BR2": FINGERPRINT} | (records or {})
    table = check_plates(
        INDEX,
        set_aside,
        {key: load for key, load in stored.items() if load is not None},
        {p: (lambda f=f: {"fingerprint": f}) for p, f in fingerprints.items() if f is not None},
        {p: load for p, load in (WHOLE | (packed or {})).items() if load is not None},
        CONFIG,
    )
    return FEATURE_CHECK.validate(table).set_index(PLATE)


def test_plates_with_all_their_features_pass() -> None:
    table = check()
    assert table[COUNTS].to_numpy().tolist() == [[3, 3, 0, 0, 0]] * 2
    assert table["packed"].all()
    assert table["example"].isna().all()
    require_complete(table.reset_index())


def test_missing_sites_are_counted_and_the_first_is_named() -> None:
    table = check({"BR2/r01c03f01": None, "BR2/r01c02f01": None})
    assert table.loc["BR1", COUNTS].tolist() == [3, 3, 0, 0, 0]
    assert table.loc["BR2", COUNTS].tolist() == [3, 1, 2, 0, 0]
    assert table.loc["BR2", "example"] == "BR2/r01c02f01"


def test_sites_set_aside_with_a_reason_are_not_expected() -> None:
    aside = pd.DataFrame(
        [("BR2", "A02", 1, "all_zero", "x"), ("BR2", "A02", 1, "missing", "y")],
        columns=[PLATE, WELL, SITE, REASON, DETAIL],
    )
    table = check({"BR2/r01c02f01": None}, set_aside=aside)
    assert table[COUNTS].to_numpy().tolist() == [[3, 3, 0, 0, 0], [2, 2, 0, 0, 0]]


@pytest.mark.parametrize(
    "load",
    [
        damaged_file,
        lambda: {"tokens": torch.ones(2, 8)},
        lambda: torch.ones(3, 8),
        lambda: torch.ones(8),
        lambda: torch.tensor([[1.0, float("nan")], [1.0, 1.0]]),
    ],
    ids=["unreadable", "no tensor", "channels", "dimensions", "not finite"],
)
def test_a_file_that_is_no_sites_features_is_damaged_and_not_present(load) -> None:
    table = check({"BR1/r01c02f01": load})
    assert table.loc["BR1", COUNTS].tolist() == [3, 2, 0, 1, 0]
    assert table.loc["BR1", "example"] == "BR1/r01c02f01"


def test_settings_that_changed_are_stale_and_what_parameters_do_not_say_is_not_compared() -> None:
    old = FINGERPRINT | {"size": "224", "model": "org/old", "revision": "other"}
    table = check(records={"BR1": old, "BR2": FINGERPRINT | {"revision": "other"}})
    assert table["stale"].tolist() == [2, 0]
    assert table.loc["BR1", "example"] == "model: org/old, not org/vit"


def test_a_plate_without_a_record_is_stale() -> None:
    table = check(records={"BR2": None})
    assert table["stale"].tolist() == [0, 1]
    assert table.loc["BR2", "example"] == "no fingerprint"


def test_the_example_is_a_missing_site_before_a_damaged_one_before_a_stale_setting() -> None:
    features = {"BR1/r01c01f01": damaged_file, "BR1/r01c03f01": None, "BR2/r01c02f01": damaged_file}
    table = check(features, records={"BR1": None, "BR2": None})
    assert table["example"].tolist() == ["BR1/r01c03f01", "BR2/r01c02f01"]


def test_incomplete_features_are_refused_by_plate_with_the_command_that_makes_them() -> None:
    with pytest.raises(InputError) as caught:
        require_complete(check({"BR2/r01c02f01": None}).reset_index())
    assert str(caught.value) == (
        "the features of 1 of 2 plate(s) are incomplete: BR2; e.g. BR2/r01c02f01. "
        "Run kedro run --pipeline image_features"
    )


def test_damaged_files_are_to_be_deleted_first() -> None:
    table = check({"BR1/r01c02f01": damaged_file, "BR2/r01c02f01": damaged_file}).reset_index()
    message = r"2 of 2 .*: BR1, BR2; .*\. Delete the 2 damaged file\(s\), then run kedro run"
    with pytest.raises(InputError, match=message):
        require_complete(table)


def test_a_plate_that_is_not_packed_is_refused() -> None:
    table = check(packed={"BR2": None})
    assert table["packed"].tolist() == [True, False]
    with pytest.raises(InputError, match=r"1 of 2 plate\(s\) are incomplete: BR2; e\.g\. "):
        require_complete(table.reset_index())


CHANGED = torch.ones(3, 2, 8)
CHANGED[2, 1, 7] = 1.5


@pytest.mark.parametrize(
    "load", [damaged_file, packed_file(CHANGED), packed_file(torch.ones(2, 2, 8))]
)
def test_a_packed_file_that_is_damaged_or_holds_other_numbers_counts_as_none(load) -> None:
    assert check(packed={"BR2": load})["packed"].tolist() == [True, False]


def test_a_plate_whose_only_fault_is_that_it_is_not_packed_says_so() -> None:
    with pytest.raises(InputError, match=r"e\.g\. not packed\. Run kedro run"):
        require_complete(check(packed={"BR2": None}).reset_index())


def test_features_of_other_parameters_are_whole_and_nothing_is_to_be_deleted() -> None:
    other = FINGERPRINT | {"channels": "DNA=5+ER=4+AGP=3"}
    stored = {site_key(*site): (lambda: torch.ones(3, 8)) for site in SITES[:3]}
    table = check(stored, records={"BR1": other})
    assert table.loc["BR1", COUNTS].tolist() == [3, 3, 0, 0, 1]
    with pytest.raises(InputError, match=r"are whole, and were made with other parameters.*BR1"):
        require_complete(table.reset_index())
