"""Synthetic sites: cells drawn by a phenotype, seen by a camera."""

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from morphoclip.gallery.synthetic_config import SyntheticConfig

LOG_EFFECT = {"count": 0.35, "nucleus": 0.16, "cell": 0.15, "intensity": 0.30, "radial": 0.6}
_CELLS, _NUCLEUS_RADIUS, _CELL_RADIUS = 14, 5.0, 11.0  # a 128-pixel field; pixels
_SIGNAL, BACKGROUND, _READ_NOISE = 2500.0, 400.0, 15.0  # counts
NUCLEAR = "DNA"


def uneven_light(config: SyntheticConfig, rng: np.random.Generator) -> NDArray[np.float64]:
    """Uneven illumination: a plane of mean 1 across the field, ``(H, W)``."""
    y, x = np.mgrid[-1 : 1 : config.image_size * 1j, -1 : 1 : config.image_size * 1j]
    angle = rng.uniform(0, 2 * np.pi)
    return np.asarray(1 + config.illumination_tilt * (np.cos(angle) * x + np.sin(angle) * y))


def render_site(
    config: SyntheticConfig, effects: Mapping[str, float], rng: np.random.Generator
) -> NDArray[np.float64]:
    """Stained cells without background, ``(C, H, W)``, in counts."""
    size, scale = config.image_size, config.image_size / 128
    image = np.zeros((len(config.channels), size, size))
    number = rng.poisson(_CELLS * np.exp(LOG_EFFECT["count"] * effects["count"]))
    nucleus = scale * _NUCLEUS_RADIUS * np.exp(LOG_EFFECT["nucleus"] * effects["nucleus"])
    cell = scale * _CELL_RADIUS * np.exp(LOG_EFFECT["cell"] * effects["cell"])
    for _ in range(number):
        centre = rng.uniform(0, size, 2)
        stretch, angle = rng.uniform(0.8, 1.25), rng.uniform(0, np.pi)
        brightness = np.exp(0.1 * rng.standard_normal())
        reach = int(np.ceil(1.3 * max(cell, nucleus))) + 1
        top, left = np.maximum(centre.astype(int) - reach, 0)
        bottom, right = np.minimum(centre.astype(int) + reach + 1, size)
        y, x = np.mgrid[top:bottom, left:right]
        dy, dx = y - centre[0], x - centre[1]
        along = (np.cos(angle) * dx + np.sin(angle) * dy) * stretch
        across = (np.cos(angle) * dy - np.sin(angle) * dx) / stretch
        distance = np.hypot(along, across)
        for number_of_channel, channel in enumerate(config.channels):
            radius = nucleus if channel == NUCLEAR else cell
            relative = np.clip(distance / radius, 0, 1)
            body = np.clip((radius - distance) + 0.5, 0, 1)
            slope = LOG_EFFECT["radial"] * effects.get(f"radial {channel}", 0.0)
            level = brightness * _SIGNAL
            level *= np.exp(LOG_EFFECT["intensity"] * effects[f"intensity {channel}"])
            image[number_of_channel, top:bottom, left:right] += (
                level * body * np.exp(slope * (2 * relative - 1))
            )
    return image


def camera_image(counts: NDArray[np.float64], rng: np.random.Generator) -> NDArray[np.uint16]:
    """Shot and read noise, then 16 bits."""
    noise = rng.standard_normal(counts.shape) * np.sqrt(np.maximum(counts, 0) + _READ_NOISE**2)
    noisy = counts + noise
    if not np.isfinite(noisy).all():
        raise ValueError("the renderer made pixels that are not finite")
    return np.clip(np.rint(noisy), 1, 65535).astype(np.uint16)
