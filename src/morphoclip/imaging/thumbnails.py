"""Small pictures of sites, for people: all channels of one in a strip, as WebP."""

from collections.abc import Mapping, Sequence

import imagecodecs
import numpy as np
from numpy.typing import NDArray

from morphoclip.imaging.config import NUCLEAR_STAINS

MOST_BYTES = 4096
"""Of a channel; noise may need more."""
_QUALITIES = (60, 30, 10)
_FASTEST_THAT_IS_SMALL = 2

# cyan, magenta and the like: a channel of one hue each, nuclei blue
_NUCLEI = (0.25, 0.45, 1.0)
_COLOURS = (
    (1.0, 0.35, 0.25), (1.0, 0.85, 0.2), (0.3, 0.9, 0.35), (0.95, 0.4, 0.95), (0.3, 0.9, 0.9),
)  # fmt: skip


def encode_strip(tiles: NDArray[np.floating]) -> bytes:
    """Channels ``(C, size, size)`` in [0, 1], one below the other, as WebP.

    The quality is lowered until a channel takes at most 4 kB; noise takes more at any quality.
    """
    n_channels, size, _ = tiles.shape
    grey = np.rint(np.clip(tiles, 0, 1) * 255).astype(np.uint8).reshape(n_channels * size, size)
    colours = np.repeat(grey[..., None], 3, axis=2)
    encoded = b""
    for quality in _QUALITIES:
        encoded = bytes(
            imagecodecs.webp_encode(
                colours, level=quality, lossless=False, method=_FASTEST_THAT_IS_SMALL
            )
        )
        if len(encoded) <= n_channels * MOST_BYTES:
            break
    return encoded


def decode_strip(strip: bytes) -> NDArray[np.uint8]:
    """The inverse: ``(C, size, size)``.

    Raises:
        ValueError: It is no strip of square channels.
    """
    try:
        grey = np.asarray(imagecodecs.webp_decode(strip))[..., 0]
    except Exception as error:  # libwebp's failures share no base class
        raise ValueError(f"no WebP: {error}") from error
    height, size = grey.shape
    if height % size:
        raise ValueError(f"{height} x {size} pixels are no strip of squares")
    return grey.reshape(height // size, size, size)


def encode_picture(picture: NDArray[np.uint8]) -> bytes:
    """Grey ``(H, W)`` or colours ``(H, W, 3)`` as WebP."""
    colours = np.repeat(picture[..., None], 3, axis=2) if picture.ndim == 2 else picture
    return bytes(
        imagecodecs.webp_encode(
            np.ascontiguousarray(colours),
            level=_QUALITIES[0],
            lossless=False,
            method=_FASTEST_THAT_IS_SMALL,
        )
    )


def colours_of(channels: Sequence[str]) -> Mapping[str, tuple[float, float, float]]:
    """The colour of each channel in a composite; nuclei are blue."""
    others = iter(_COLOURS * (1 + len(channels) // len(_COLOURS)))
    return {
        channel: _NUCLEI if channel.lower() in NUCLEAR_STAINS else next(others)
        for channel in channels
    }


def composite(tiles: NDArray[np.uint8], channels: Sequence[str]) -> NDArray[np.uint8]:
    """All channels ``(C, size, size)`` in one picture of colours, ``(size, size, 3)``."""
    colours = np.array(list(colours_of(channels).values()), dtype=np.float32)
    mixed = np.einsum("chw,ck->hwk", tiles.astype(np.float32), colours)
    strongest = max(1.0, float(colours.sum(axis=0).max()) / 2)
    return np.clip(mixed / strongest, 0, 255).astype(np.uint8)
