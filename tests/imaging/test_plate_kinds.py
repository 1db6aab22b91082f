"""Images of one plate that are not alike, channels without contrast, illumination that is none."""

import numpy as np
import pytest

from morphoclip.errors import InputError
from morphoclip.imaging.config import PreprocessConfig
from morphoclip.imaging.grey_levels import plate_levels, range_of
from morphoclip.imaging.preprocess import ImageFile, SiteImages, measure_plate, prepare_site
from morphoclip.imaging.site_images import checked_illumination, illumination_of_plates

RNG = np.random.default_rng(0)


def noise(height: int, width: int, dtype: type = np.uint16) -> np.ndarray:
    return RNG.poisson(90, (height, width)).astype(dtype)


def site(number: int, *planes: np.ndarray) -> SiteImages:
    held = {f"{c}.tif": plane for c, plane in enumerate(planes)}
    files = {name: ImageFile(f"{c}.tif") for c, name in zip(range(len(planes)), "AB", strict=False)}
    return SiteImages("P1", "A01", number, files, lambda path: lambda _: held[path])


def test_images_of_another_size_or_depth_than_their_plate_are_set_aside() -> None:
    sites = [site(n, noise(40, 50), noise(40, 50)) for n in range(1, 5)]
    smaller = site(5, noise(20, 25), noise(20, 25))
    shallow = site(6, noise(40, 50), noise(40, 50, np.uint8))
    levels = measure_plate([*sites, smaller, shallow], "AB", workers=1)
    assert levels["A"]["n_sites_sampled"] == 5
    assert (levels["B"]["height"], levels["B"]["width"], levels["B"]["dtype_max"]) == (
        40,
        50,
        65535,
    )
    ranges = {channel: range_of(row) for channel, row in levels.items()}
    config = PreprocessConfig(size=16)
    assert prepare_site(sites[0], ranges, config).pixels is not None
    found = prepare_site(smaller, ranges, config)
    assert found.pixels is None
    assert {finding.reason for finding in found.unusable.values()} == {"wrong_shape"}
    assert "20 x 25 pixels, and the plate's images have 40 x 50" in str(found.unusable["A"])
    found = prepare_site(shallow, ranges, config)
    assert {name: finding.reason for name, finding in found.unusable.items()} == {
        "B": "wrong_dtype"
    }


def test_levels_measured_before_sizes_were_kept_set_nothing_aside() -> None:
    levels = plate_levels([noise(40, 50)])
    old = range_of({name: levels[name] for name in ("p0_1", "p99_9", "dtype_max")})
    assert old.kind is None
    other = site(1, noise(20, 25))
    assert prepare_site(other, {"A": old}, PreprocessConfig(size=16)).pixels is not None


def test_a_channel_without_contrast_is_refused() -> None:
    constant = np.full((40, 50), 500, np.uint16)
    constant[0, 0] = 600  # one bright pixel is no contrast
    sites = [site(n, noise(40, 50), constant) for n in range(1, 4)]
    with pytest.raises(InputError, match=r"channel B of plate P1 has no contrast: .* are 500;"):
        measure_plate(sites, "AB", workers=1)


GOOD = 1 + RNG.random((4, 5))


def with_pixel(value: float) -> np.ndarray:
    changed = GOOD.copy()
    changed[1, 2] = value
    return changed


@pytest.mark.parametrize(
    ("function", "what"),
    [
        (with_pixel(np.inf), r"1 pixel\(s\) that are not finite"),
        (with_pixel(np.nan), r"1 pixel\(s\) that are not finite"),
        (with_pixel(0), r"1 pixel\(s\) that are not positive"),
        (with_pixel(-1), r"1 pixel\(s\) that are not positive"),
        (with_pixel(1e300), "differs by a factor of"),
        (with_pixel(1e-9), "differs by a factor of"),
        (GOOD.astype(complex), "holds complex128, no real numbers"),
        (GOOD.astype(str), "no real numbers"),
        (GOOD > 1, "holds bool, no real numbers"),
        (GOOD.astype("datetime64[s]"), "no real numbers"),
        ({"arr_0": GOOD}, "holds dict, no real numbers"),
        (GOOD[0], r"has the shape \(5,\), not"),
        (GOOD[None], r"has the shape \(1, 4, 5\), not"),
        (GOOD[:0], r"has the shape \(0, 5\), not"),
    ],
)
def test_what_is_no_illumination_function_is_refused(function, what: str) -> None:
    functions = illumination_of_plates({"P1/P1_IllumDNA": lambda: function}, ["P1"], ["DNA"])
    with pytest.raises(InputError, match=f"illumination function P1_IllumDNA .*{what}"):
        functions["P1"]["DNA"]


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, np.uint8])
def test_illumination_functions_of_any_real_type_are_taken(dtype) -> None:
    function = (GOOD * 3).astype(dtype)
    assert checked_illumination(function, "P1_IllumDNA") is function
