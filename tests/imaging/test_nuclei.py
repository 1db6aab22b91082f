"""How many nuclei an image shows."""

from pathlib import Path

import numpy as np
import pytest
import tifffile

from morphoclip.errors import InputError
from morphoclip.gallery import rendering, synthetic
from morphoclip.gallery.synthetic_config import SyntheticConfig
from morphoclip.imaging.config import PreprocessConfig
from morphoclip.imaging.nuclei import count_nuclei

CHANNELS = {"MITO": 1, "AGP": 2, "RNA": 3, "ER": 4, "DNA": 5}


def planted(seed: int, size: int) -> tuple[int, np.ndarray]:
    """A synthetic DNA image, and the number that its renderer drew first."""
    config = SyntheticConfig(channels=CHANNELS, image_size=size)
    sizes = np.random.default_rng(seed)
    effects = {name: 0.6 * sizes.standard_normal() for name in synthetic._latents(config)}
    mean = rendering._CELLS * np.exp(rendering.LOG_EFFECT["count"] * effects["count"])
    number = np.random.default_rng(10_000 + seed).poisson(mean)
    rng = np.random.default_rng(10_000 + seed)
    site = rendering.render_site(config, effects, rng)
    return number, rendering.camera_image(site + rendering.BACKGROUND, rng)[-1]


@pytest.mark.parametrize("size", [128, 300])
def test_the_planted_number_is_found_within_five_percent_on_average(size: int) -> None:
    pairs = [planted(seed, size) for seed in range(120)]
    truth = np.array([number for number, _ in pairs])
    found = np.array([count_nuclei(image) for _, image in pairs])
    assert found.sum() / truth.sum() == pytest.approx(1, abs=0.05)
    assert np.corrcoef(truth, found)[0, 1] > 0.97


def discs(*centres: tuple[int, int], radius: int = 12, side: int = 200) -> np.ndarray:
    y, x = np.mgrid[:side, :side]
    image = np.full((side, side), 400.0)
    for cy, cx in centres:
        image[np.hypot(y - cy, x - cx) <= radius] = 3000
    noise = np.random.default_rng(0).normal(0, 20, image.shape)
    return np.clip(image + noise, 0, 65535).astype(np.uint16)


def test_touching_nuclei_are_told_apart() -> None:
    assert count_nuclei(discs((50, 50), (50, 71), (120, 120), (120, 141), (120, 162))) == 5


def test_a_nucleus_cut_by_the_edge_counts() -> None:
    assert count_nuclei(discs((0, 100), (100, 0), (100, 100))) == 3


@pytest.mark.parametrize(
    "image",
    [
        np.zeros((64, 64), np.uint16),
        np.full((64, 64), 65535, np.uint16),
        np.full((64, 64), 255, np.uint8),
        np.zeros((1, 1), np.uint16),
        np.random.default_rng(0).normal(400, 20, (256, 256)).astype(np.uint16),
        np.tile(np.linspace(300, 500, 256), (256, 1)).astype(np.uint16),
    ],
    ids=["black", "white", "8 bits", "one pixel", "noise", "uneven light"],
)
def test_an_empty_image_has_none(image: np.ndarray) -> None:
    assert count_nuclei(image) == 0


def test_brightness_and_bits_do_not_matter() -> None:
    image = discs((50, 50), (120, 120))
    assert count_nuclei(image) == count_nuclei((image // 16).astype(np.uint8)) == 2


def test_real_nuclei_are_counted(real_data: Path) -> None:
    """One real site of 1080 pixels; 350 to 380 were counted by eye and by looser settings."""
    (path,) = (real_data / "real_site" / "Images").glob("*ch4*.tiff")
    assert 320 <= count_nuclei(tifffile.imread(path)) <= 400


def test_the_nuclear_channel_is_found_by_name_or_named() -> None:
    auto = PreprocessConfig()
    assert auto.nuclear_channel(["ER", "DNA"]) == "DNA"
    assert auto.nuclear_channel(["er", "Hoechst"]) == "Hoechst"
    assert auto.nuclear_channel(["ER", "AGP"]) is None
    assert PreprocessConfig(count_nuclei="none").nuclear_channel(["DNA"]) is None
    assert PreprocessConfig(count_nuclei="ER").nuclear_channel(["ER", "DNA"]) == "ER"
    with pytest.raises(InputError, match=r"count_nuclei names NUC, which is no channel; .* ER"):
        PreprocessConfig(count_nuclei="NUC").nuclear_channel(["ER"])
