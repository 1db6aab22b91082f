"""Grey levels of images batch by batch, and the reason of every site that goes no further."""

import numpy as np
import pandas as pd
import pytest

from morphoclip.columns import CHANNEL, DETAIL, PLATE, REASON, ROLE, SITE, WELL
from morphoclip.errors import InputError
from morphoclip.features.site_files import site_key
from morphoclip.features.site_qc import QcTables, by_plate, qc_parts, qc_rows, summarise_qc
from morphoclip.imaging.grey_levels import ImageLevels
from morphoclip.imaging.preprocess import ImageFile, PreparedSite, SiteImages
from morphoclip.imaging.tiff import UnusablePlane, opened_tiffs
from morphoclip.schemas.features import SITE_QC
from morphoclip.schemas.ingestion import SET_ASIDE_SITES

KEY = [PLATE, WELL, SITE]
CHANNELS = ("DNA", "ER")
A1, A2, B1 = ("BR1", "A01", 1), ("BR1", "A01", 2), ("BR2", "B01", 1)
INDEX = pd.DataFrame(
    [(*site, channel) for site in (A1, A2, B1) for channel in CHANNELS], columns=[*KEY, CHANNEL]
)
WELLS = INDEX[[PLATE, WELL]].drop_duplicates(ignore_index=True).assign(**{ROLE: "trt"})
NO_SITES = pd.DataFrame(columns=[*KEY, REASON, DETAIL]).astype({SITE: int})


def levels(mean: float) -> ImageLevels:
    return ImageLevels(mean, 10.0, 90.0, 99.0, 0.5, 0.25, 3.0)


def prepared(site: tuple[str, str, int], mean: float = 1.0, lost: str = "") -> PreparedSite:
    """A site as it is read; the ``lost`` channel cannot be."""
    images = SiteImages(*site, dict.fromkeys(CHANNELS, ImageFile("file")), opened_tiffs(str.encode))
    seen = {channel: levels(mean) for channel in CHANNELS if channel != lost}
    unusable = {lost: UnusablePlane("all_zero", f"{lost} is black")} if lost else {}
    return PreparedSite(images, None if lost else np.zeros((2, 4, 4), np.float32), seen, unusable)


def summary(
    *batches: list[PreparedSite], features: list[tuple[str, str, int]], incomplete=NO_SITES
) -> QcTables:
    """The summary of batches that were read one after the other."""
    parts = {
        f"{key.split('/')[0]}/{number}": rows
        for number, batch in enumerate(batches)
        for key, rows in qc_parts(qc_rows(batch)).items()
    }
    loaders = {key: (lambda rows=rows: rows) for key, rows in parts.items()}
    keys = [site_key(*site) for site in features]
    return summarise_qc(loaders, INDEX, keys, incomplete, WELLS)


def test_every_image_has_a_row_with_its_grey_levels_or_its_reason() -> None:
    rows = SITE_QC.validate(qc_rows([prepared(A1, mean=5.0), prepared(A2, lost="ER")]))
    assert rows[[*KEY, CHANNEL]].to_numpy().tolist() == [
        [*site, channel] for site in (A1, A2) for channel in CHANNELS
    ]
    first = rows.iloc[0]
    measured = ["mean", "p0_1", "p99_9", "used_range", "saturated_fraction", "focus"]
    assert first[measured].tolist() == [5.0, 10.0, 90.0, 0.5, 0.25, 3.0]
    lost = rows.iloc[3]
    assert lost[[REASON, DETAIL]].tolist() == ["all_zero", "ER is black"]
    assert lost[[*measured, "near_empty"]].isna().all()
    assert rows[REASON].isna().tolist() == [True, True, True, False]


def test_batches_are_kept_by_plate_under_names_that_depend_on_their_sites() -> None:
    rows = qc_rows([prepared(A1), prepared(B1), prepared(A2)])
    parts = qc_parts(rows)
    assert [key.split("/")[0] for key in parts] == ["BR1", "BR2"]
    assert [list(part[PLATE].unique()) for part in parts.values()] == [["BR1"], ["BR2"]]
    assert sum(len(part) for part in parts.values()) == len(rows)
    assert set(qc_parts(qc_rows([prepared(A1, mean=9)]))) == set(qc_parts(qc_rows([prepared(A1)])))
    names = {name for site in (A1, A2) for name in qc_parts(qc_rows([prepared(site)]))}
    assert len(names | set(parts)) == 4


def test_a_plate_without_rows_keeps_an_empty_table_and_others_are_left_out() -> None:
    tables = by_plate(INDEX, ["BR2", "BR3"])
    assert list(tables) == ["BR2", "BR3"]
    assert tables["BR2"].equals(INDEX[INDEX[PLATE] == "BR2"].reset_index(drop=True))
    assert tables["BR3"].shape == (0, 4)
    assert list(tables["BR3"].columns) == list(INDEX.columns)


def test_sites_with_features_have_grey_levels_and_the_others_a_reason() -> None:
    tables = summary(
        [prepared(A1, mean=4.0), prepared(A2, lost="ER"), prepared(B1)], features=[A1, B1]
    )
    assert list(tables.site_qc) == list(tables.set_aside) == ["BR1", "BR2"]
    qc = SITE_QC.validate(tables.site_qc["BR1"])
    assert qc[[WELL, SITE, CHANNEL]].to_numpy().tolist() == [
        ["A01", site, channel] for site in (1, 2) for channel in CHANNELS
    ]
    assert qc["mean"].isna().tolist() == [False, False, False, True]
    aside = SET_ASIDE_SITES.validate(tables.set_aside["BR1"])
    assert aside.to_numpy().tolist() == [["BR1", "A01", 2, "all_zero", "ER is black"]]
    assert tables.set_aside["BR2"].empty


def test_a_site_that_failed_and_was_read_again_has_no_reason_any_more() -> None:
    failed, mended = [prepared(A1, lost="DNA")], [prepared(A1, mean=7.0)]
    for batches in ([failed, mended], [mended, failed]):
        tables = summary(*batches, [prepared(A2), prepared(B1)], features=[A1, A2, B1])
        own = tables.site_qc["BR1"].query(f"{SITE} == 1").set_index(CHANNEL)
        assert own.loc["DNA", "mean"] == 7.0
        assert own[REASON].isna().all()
        assert tables.set_aside["BR1"].empty


@pytest.mark.parametrize(
    "newest_sorts_last",
    [
        True,
        False,
    ],
)
def test_a_site_that_lost_its_features_and_cannot_be_read_again_has_a_reason(
    newest_sorts_last: bool,
) -> None:
    older, newer = [prepared(A1, mean=7.0)], [prepared(A1, lost="DNA")]
    batches = [older, newer] if newest_sorts_last else [newer, older]
    tables = summary(*batches, [prepared(A2), prepared(B1)], features=[A2, B1])
    own = tables.site_qc["BR1"].query(f"{SITE} == 1").set_index(CHANNEL)
    assert own.loc["DNA", REASON] == "all_zero"
    assert own["mean"].isna().to_dict() == {"DNA": True, "ER": False}
    assert tables.set_aside["BR1"][REASON].tolist() == ["all_zero"]


def test_features_without_rows_have_empty_ones() -> None:
    tables = summary([prepared(A1), prepared(A2)], features=[A1, A2, B1])
    qc = SITE_QC.validate(tables.site_qc["BR2"])
    assert qc[[*KEY, CHANNEL]].to_numpy().tolist() == [[*B1, "DNA"], [*B1, "ER"]]
    assert qc.drop(columns=[*KEY, CHANNEL]).isna().all(axis=None)


def test_a_site_with_neither_features_nor_a_reason_is_refused() -> None:
    message = r"1 site.* neither features nor a reason, e\.g\. BR2/r02c01f01; run kedro run"
    with pytest.raises(InputError, match=message):
        summary([prepared(A1), prepared(A2)], features=[A1, A2])
    with pytest.raises(InputError, match=r"1 site.*, e\.g\. BR1/r01c01f02; run"):
        summary([prepared(A1), prepared(A2), prepared(B1)], features=[A1, B1])


def test_incomplete_sites_are_set_aside_first_even_of_plates_without_any_other() -> None:
    incomplete = pd.DataFrame(
        [("BR1", "C01", 1, "incomplete", "missing ER"), ("BR9", "A01", 1, "incomplete", "no DNA")],
        columns=list(SET_ASIDE_SITES.columns),
    )
    read = [prepared(A1), prepared(A2, lost="ER"), prepared(B1)]
    tables = summary(read, features=[A1, B1], incomplete=incomplete)
    assert list(tables.site_qc) == ["BR1", "BR2"]
    assert {plate: list(rows[REASON]) for plate, rows in tables.set_aside.items()} == {
        "BR1": ["incomplete", "all_zero"], "BR2": [], "BR9": ["incomplete"]
    }  # fmt: skip
