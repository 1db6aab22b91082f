"""Files of sites by channel, and illumination functions that are read when they are needed."""

import io
from collections import Counter
from collections.abc import Callable

import numpy as np
import pandas as pd
import pytest

from morphoclip.columns import CHANNEL, ILLUMINATION
from morphoclip.errors import InputError
from morphoclip.imaging.preprocess import ImageFile
from morphoclip.imaging.site_images import (
    PlateIllumination,
    illumination_of_plates,
    images_of_sites,
    listed_illumination,
    require_channels,
)
from morphoclip.imaging.sites import FoundImage, index_plate
from morphoclip.imaging.tiff import opened_tiffs

CHANNELS = {"DNA": 5, "ER": 4}


def path(plate: str, row: int, field: int, channel: int) -> str:
    return f"{plate}/{row}-{field}-{channel}.tiff"


def index(plate: str = "BR1", channels: dict[str, int] = CHANNELS) -> pd.DataFrame:
    """Wells A01 and B01, two sites each."""
    images = [
        FoundImage(plate, f"{'AB'[row - 1]}01", field, number, path(plate, row, field, number))
        for row in (2, 1)
        for field in (2, 1)
        for number in channels.values()
    ]
    return index_plate(plate, images, channels).site_index


class Functions:
    """Illumination functions in memory, which count how often each is read."""

    def __init__(self, *plates: str, folder: str = "batch/illum") -> None:
        self.read: Counter[str] = Counter()
        self.loaders = {
            f"{folder}/{plate}/{plate}_Illum{channel}": self._loader(plate, channel)
            for plate in plates
            for channel in CHANNELS
        }

    def _loader(self, plate: str, channel: str) -> Callable[[], np.ndarray]:
        def load() -> np.ndarray:
            self.read[f"{plate} {channel}"] += 1
            return np.full((2, 2), 10 * int(plate[-1]) + CHANNELS[channel])

        return load


def test_every_site_has_its_files_in_order_of_channels_and_wells() -> None:
    table = pd.concat([index("BR2"), index("BR1")])

    open_file = opened_tiffs(str.encode)
    sites = images_of_sites(table, open_file, {"BR1": {"DNA": np.ones((2, 2))}})
    assert [(s.plate, s.well, s.site) for s in sites] == [
        (plate, well, site)
        for plate in ("BR1", "BR2")
        for well in ("A01", "B01")
        for site in (1, 2)
    ]
    assert list(sites[0].files.items()) == [
        ("DNA", ImageFile(path("BR1", 1, 1, 5))),
        ("ER", ImageFile(path("BR1", 1, 1, 4))),
    ]
    assert sites[-1].files["ER"].path == path("BR2", 2, 2, 4)
    assert {s.open_file for s in sites} == {open_file}
    assert [list(s.illumination) for s in sites] == [["DNA"]] * 4 + [[]] * 4


def test_no_illumination_function_is_read_before_it_is_needed() -> None:
    functions = Functions("BR1", "BR2")
    by_plate = illumination_of_plates(functions.loaders, ["BR1", "BR2"], CHANNELS)
    assert {plate: list(of_plate) for plate, of_plate in by_plate.items()} == {
        "BR1": ["DNA", "ER"], "BR2": ["DNA", "ER"]
    }  # fmt: skip
    assert [len(of_plate) for of_plate in by_plate.values()] == [2, 2]
    assert functions.read == Counter()
    assert by_plate["BR2"]["ER"].tolist() == [[24, 24], [24, 24]]
    assert functions.read == Counter({"BR2 ER": 1})


def test_plate_by_plate_each_illumination_function_is_read_once() -> None:
    functions = Functions("BR1", "BR2", "BR3")
    plates = ["BR1", "BR2", "BR3"]
    by_plate = illumination_of_plates(functions.loaders, plates, CHANNELS)
    for one, other in (("BR1", "BR1"), ("BR1", "BR2"), ("BR2", "BR3")):
        for channel in (*CHANNELS, *CHANNELS):
            assert by_plate[one][channel][0, 0] == 10 * int(one[-1]) + CHANNELS[channel]
            assert by_plate[other][channel][0, 0] == 10 * int(other[-1]) + CHANNELS[channel]
    assert functions.read == Counter({f"{p} {c}": 1 for p in plates for c in CHANNELS})


def test_illumination_functions_of_two_plates_at_most_are_held() -> None:
    functions = Functions("BR1", "BR2", "BR3")
    plates = ["BR1", "BR2", "BR3"]
    by_plate = illumination_of_plates(functions.loaders, plates, CHANNELS)
    for plate in (*plates, "BR2", "BR1"):
        assert [by_plate[plate][c].shape for c in CHANNELS] == [(2, 2), (2, 2)]
    again = Counter({f"{p} {c}": 1 for p in plates for c in CHANNELS})
    again.update({"BR1 DNA": 1, "BR1 ER": 1})
    assert functions.read == again, "the first plate was let go for the third, the second was not"


def test_a_channel_without_illumination_function_is_a_missing_key() -> None:
    of_plate = PlateIllumination("BR1", ["DNA"], lambda plate, channel: np.array([plate, channel]))
    assert of_plate["DNA"].tolist() == ["BR1", "DNA"]
    assert "ER" not in of_plate
    with pytest.raises(KeyError, match="ER"):
        of_plate["ER"]


def test_the_case_of_an_illumination_functions_name_does_not_matter() -> None:
    load = Functions("BR1").loaders["batch/illum/BR1/BR1_IllumDNA"]
    by_plate = illumination_of_plates({"br1_ILLUMdna": load}, ["BR1"], ["DNA"])
    assert by_plate["BR1"]["DNA"].tolist() == [[15, 15], [15, 15]]


def test_missing_illumination_functions_are_named() -> None:
    loaders = Functions("BR1").loaders
    message = r"2 illumination .* BR2_IllumDNA\.npy, BR2_IllumER\.npy; copy the batch's illum/"
    with pytest.raises(InputError, match=message):
        illumination_of_plates(loaders, ["BR1", "BR2"], CHANNELS)


def test_illumination_functions_of_two_folders_are_not_chosen_between() -> None:
    loaders = Functions("BR1").loaders
    loaders["other/illum/BR1/BR1_IllumDNA"] = loaders["batch/illum/BR1/BR1_IllumDNA"]
    message = r"1 illumination .* more than once: batch/\S+/BR1_IllumDNA and other/\S+_IllumDNA;"
    with pytest.raises(InputError, match=message):
        illumination_of_plates(loaders, ["BR1"], CHANNELS)


def test_the_channels_that_the_sites_were_indexed_by_are_accepted() -> None:
    require_channels(index(), CHANNELS)
    require_channels(pd.concat([index("BR1"), index("BR2")]), dict(CHANNELS))


@pytest.mark.parametrize(
    "channels",
    [
        {"ER": 4, "DNA": 5},
        {"DNA": 4, "ER": 5},
        {"DNA": 5},
        {"DNA": 5, "ER": 4, "RNA": 3},
        {"Nuclei": 5, "ER": 4},
    ],
    ids=["order", "numbers", "fewer", "more", "names"],
)
def test_channels_other_than_the_indexed_ones_are_refused_with_both(
    channels: dict[str, int],
) -> None:
    with pytest.raises(InputError) as caught:
        require_channels(index(), channels)
    assert str(caught.value) == (
        f"image_features.channels is {channels} and the sites were indexed by {CHANNELS}: run "
        "kedro run --pipeline ingestion again with these channels"
    )


def test_functions_that_the_source_names_are_read_from_there() -> None:
    table = index("BR1").assign(**{ILLUMINATION: lambda t: "illum/" + t[CHANNEL] + ".npy"})
    files = {}
    for number, channel in enumerate(CHANNELS, start=1):
        buffer = io.BytesIO()
        np.save(buffer, np.full((2, 2), number))
        files[f"illum/{channel}.npy"] = buffer.getvalue()
    listed = listed_illumination(table, files.__getitem__)
    by_plate = illumination_of_plates(listed, ["BR1"], CHANNELS)
    assert [by_plate["BR1"][channel][0, 0] for channel in CHANNELS] == [1, 2]
    assert listed_illumination(table.assign(**{ILLUMINATION: None}), files.__getitem__) == {}


def test_two_functions_of_a_channel_and_pickles_are_refused() -> None:
    table = index("BR1").assign(**{ILLUMINATION: [f"{n}.npy" for n in range(len(index("BR1")))]})
    with pytest.raises(InputError, match="channel DNA of plate BR1 has several illumination"):
        listed_illumination(table, str.encode)
    buffer = io.BytesIO()
    np.save(buffer, np.array([{"a": 1}], dtype=object), allow_pickle=True)
    one = index("BR1").assign(**{ILLUMINATION: "x.npy"})
    load = listed_illumination(one, lambda _: buffer.getvalue())["BR1_IllumDNA"]
    with pytest.raises(InputError, match=r"the illumination function x\.npy cannot be read"):
        load()
