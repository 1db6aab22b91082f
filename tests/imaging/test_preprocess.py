"""Sites to model input."""

import io

import numpy as np
import pytest
import tifffile
import torch
from torch.nn.functional import interpolate

from morphoclip.errors import InputError
from morphoclip.imaging.config import PreprocessConfig, Resize
from morphoclip.imaging.grey_levels import GreyMap, GreyRange
from morphoclip.imaging.preprocess import (
    ImageFile,
    SiteImages,
    prepare_site,
    prepare_sites,
    read_site,
    resize_plane,
)
from morphoclip.imaging.tiff import opened_tiffs

AS_IT_IS = GreyMap(0.0, 1.0, -np.inf, np.inf)


def content(image: np.ndarray) -> bytes:
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, image)
    return buffer.getvalue()


def literal_area(plane: np.ndarray, size: int) -> np.ndarray:
    """Each output pixel is the mean over its box, by sub-pixels: the slow, obvious way."""
    fine = np.kron(plane.astype(np.float64), np.ones((size, size)))
    height, width = plane.shape
    return fine.reshape(size, height, size, width).mean(axis=(1, 3))


@pytest.mark.parametrize("shape", [(30, 30), (29, 41), (7, 12)])
def test_area_is_the_mean_over_each_box(shape: tuple[int, int]) -> None:
    plane = np.random.default_rng(0).random(shape, dtype=np.float32)
    np.testing.assert_allclose(
        resize_plane(plane, AS_IT_IS, 8, "area"), literal_area(plane, 8), atol=1e-6
    )


@pytest.mark.parametrize("shape", [(108, 108), (30, 41), (7, 12)])
def test_bilinear_is_torchs(shape: tuple[int, int]) -> None:
    plane = np.random.default_rng(0).random(shape, dtype=np.float32)
    theirs = interpolate(torch.from_numpy(plane)[None, None], size=(16, 16), mode="bilinear")
    np.testing.assert_allclose(
        resize_plane(plane, AS_IT_IS, 16, "bilinear"), theirs[0, 0], atol=1e-6
    )


@pytest.mark.parametrize("resize", ["area", "bilinear"])
@pytest.mark.parametrize("dtype", [np.uint8, np.uint16])
def test_counts_are_scaled_and_clipped_before_they_are_mixed(
    resize: Resize, dtype: type[np.unsignedinteger]
) -> None:
    plane = np.random.default_rng(0).integers(0, 256, (31, 44)).astype(dtype)
    grey = GreyMap(40.0, 0.01, 0.2, 0.9)
    scaled = np.clip((plane.astype(np.float32) - 40) * np.float32(0.01), 0.2, 0.9)
    np.testing.assert_allclose(
        resize_plane(plane, grey, 12, resize), resize_plane(scaled, AS_IT_IS, 12, resize), atol=1e-6
    )


def test_an_image_of_the_models_size_is_not_mixed() -> None:
    plane = np.arange(144, dtype=np.uint16).reshape(12, 12)
    for resize in ("area", "bilinear"):
        np.testing.assert_array_equal(resize_plane(plane, AS_IT_IS, 12, resize), plane)


def test_area_averages_a_checkerboard_away_where_bilinear_keeps_it() -> None:
    board = (np.indices((90, 90)).sum(0) % 2).astype(np.float32)
    assert np.ptp(resize_plane(board, AS_IT_IS, 30, "area")) < 0.12
    assert np.ptp(resize_plane(board, AS_IT_IS, 30, "bilinear")) == 1


def site(files: dict[str, bytes], number: int = 1) -> SiteImages:
    places = {name: ImageFile(name) for name in files}
    return SiteImages("P", "A01", number, places, opened_tiffs(files.__getitem__))


RANGES = {"DNA": GreyRange(0, 100), "ER": GreyRange(0, 200)}
CONFIG = PreprocessConfig(size=16, workers=2)


def test_channels_keep_their_order_and_their_own_range() -> None:
    flat = content(np.full((16, 16), 50, np.uint16))
    prepared = prepare_site(site({"ER": flat, "DNA": flat}), RANGES, CONFIG)
    assert prepared.pixels is not None
    assert prepared.pixels.mean(axis=(1, 2)).tolist() == [0.25, 0.5]


def test_one_bad_channel_sets_the_site_aside_and_keeps_the_others_levels() -> None:
    prepared = prepare_site(
        site({"DNA": content(np.full((16, 16), 9, np.uint16)), "ER": b"nothing"}), RANGES, CONFIG
    )
    assert prepared.pixels is None
    assert prepared.levels["DNA"].mean == 9
    assert prepared.unusable["ER"].reason == "unreadable"


def test_channels_of_different_shapes_are_no_site() -> None:
    files = {
        "DNA": content(np.ones((16, 16), np.uint16)),
        "ER": content(np.ones((8, 8), np.uint16)),
    }
    assert prepare_site(site(files), RANGES, CONFIG).unusable["DNA"].reason == "wrong_shape"


def test_sites_come_in_order_and_only_a_few_are_read_ahead() -> None:
    reads = []

    def read(name: str) -> bytes:
        reads.append(name)
        return content(np.full((16, 16), 50, np.uint16))

    sites = [
        SiteImages("P", "A01", n, {"DNA": ImageFile(f"{n}")}, opened_tiffs(read)) for n in range(50)
    ]
    prepared = prepare_sites(iter(sites), {"P": RANGES}, CONFIG)
    first = next(prepared)
    assert len(reads) <= 2 * CONFIG.n_workers + 1
    assert [first.images.site, *(p.images.site for p in prepared)] == list(range(50))


def test_the_middle_of_an_image_is_what_resample_takes() -> None:
    config = PreprocessConfig(
        size=16, resample=True, pixel_size=0.5, field=10.0, normalise="uint16"
    )
    assert config.side == 20
    plane = np.arange(30 * 41, dtype=np.uint16).reshape(30, 41)
    opened = opened_tiffs(lambda _: content(plane))
    images = SiteImages("P", "A01", 1, {"DNA": ImageFile("x")}, opened, {}, config.side)
    planes, unusable = read_site(images)
    assert not unusable
    np.testing.assert_array_equal(planes["DNA"], plane[5:25, 10:30])


def test_two_pixel_sizes_of_one_field_look_alike() -> None:
    """The same scene at half the pixel size, and with more around it."""
    scene = np.kron(np.random.default_rng(0).integers(1, 999, (10, 10)), np.ones((4, 4)))
    fine = np.pad(np.kron(scene, np.ones((2, 2))), 7).astype(np.uint16)
    coarse = scene.astype(np.uint16)
    seen = []
    for plane, pixel_size in ((fine, 0.5), (coarse, 1.0)):
        config = PreprocessConfig(
            size=20, resample=True, pixel_size=pixel_size, field=40.0, normalise="uint16"
        )
        opened = opened_tiffs(lambda _, plane=plane: content(plane))
        images = SiteImages("P", "A01", 1, {"DNA": ImageFile("x")}, opened, {}, config.side)
        prepared = prepare_site(images, {"DNA": GreyRange(0, 1)}, config)
        seen.append(prepared.pixels)
    np.testing.assert_allclose(*seen, atol=1e-6)


def test_a_field_that_images_do_not_cover_is_told() -> None:
    opened = opened_tiffs(lambda _: content(np.ones((16, 16), np.uint16)))
    images = SiteImages("P7", "A01", 1, {"DNA": ImageFile("x")}, opened, {}, 20)
    with pytest.raises(InputError, match=r"images of plate P7 have 16 x 16 pixels.*takes 20"):
        read_site(images)
    with pytest.raises(ValueError, match="resample needs pixel_size"):
        PreprocessConfig(resample=True)
