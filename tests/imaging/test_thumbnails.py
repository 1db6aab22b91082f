"""Small pictures: what is encoded comes back, bounded in bytes, and colours tell channels apart."""

import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from morphoclip.imaging.thumbnails import (
    MOST_BYTES,
    colours_of,
    composite,
    decode_strip,
    encode_picture,
    encode_strip,
)


def cells(n_channels: int = 5, size: int = 128, seed: int = 0) -> np.ndarray:
    rng = np.random.default_rng(seed)
    fields = np.stack([gaussian_filter(rng.random((size, size)), 3) for _ in range(n_channels)])
    low, high = (fields.min(axis=(1, 2), keepdims=True), fields.max(axis=(1, 2), keepdims=True))
    return (fields - low) / (high - low)


def test_a_strip_comes_back_nearly_as_it_was() -> None:
    tiles = cells()
    strip = encode_strip(tiles)
    assert len(strip) <= 5 * MOST_BYTES
    found = decode_strip(strip)
    assert found.shape == (5, 128, 128)
    assert np.abs(found / 255 - tiles).mean() < 0.03


def test_fine_detail_is_kept_within_bounds() -> None:
    rng = np.random.default_rng(1)
    rough = 0.5 * cells(seed=2) + 0.5 * np.clip(rng.normal(0.3, 0.1, (5, 128, 128)), 0, 1)
    assert len(encode_strip(rough)) <= 5 * MOST_BYTES
    noise = rng.random((5, 128, 128))
    assert len(encode_strip(noise)) <= 5 * 2 * MOST_BYTES


def test_values_outside_the_range_are_its_ends() -> None:
    tiles = np.stack([np.full((32, 32), -1.0), np.full((32, 32), 7.0)])
    found = decode_strip(encode_strip(tiles))
    assert found[0].max() <= 2
    assert found[1].min() >= 253


@pytest.mark.parametrize("content", [b"", b"no picture", b"RIFF0000WEBPVP8 "])
def test_what_is_no_strip_is_refused(content: bytes) -> None:
    with pytest.raises(ValueError, match="no WebP"):
        decode_strip(content)
    with pytest.raises(ValueError, match="no strip of squares"):
        decode_strip(encode_picture(np.zeros((30, 20), np.uint8)))


def test_nuclei_are_blue_and_no_two_channels_alike() -> None:
    colours = colours_of(["MITO", "AGP", "RNA", "ER", "DNA"])
    assert len(set(colours.values())) == 5
    red, green, blue = colours["DNA"]
    assert blue > max(red, green)
    tiles = np.zeros((2, 8, 8), np.uint8)
    tiles[0] = 200
    picture = composite(tiles, ["DNA", "ER"])
    assert picture.shape == (8, 8, 3)
    assert picture[..., 2].min() > picture[..., 0].max()
    assert len(colours_of([f"channel {n}" for n in range(12)])) == 12
