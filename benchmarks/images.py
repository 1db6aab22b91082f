"""TIFF to model input, and decoding beside the backbone."""

import io
import time
from collections.abc import Callable

import numpy as np
import tifffile
import torch

from benchmarks.harness import Timing, Way, interleave
from benchmarks.literal import IMAGENET_MEAN, IMAGENET_SD, model_input
from morphoclip.imaging.config import Normalisation, PreprocessConfig, Resize
from morphoclip.imaging.grey_levels import GreyRange, grey_map, image_levels
from morphoclip.imaging.preprocess import (
    ImageFile,
    SiteImages,
    prepare_site,
    prepare_sites,
    resize_plane,
)
from morphoclip.imaging.tiff import decode_plane, opened_tiffs

SIZE = 384
_ANY = GreyRange(0, 1)


def synthetic_plane(seed: int = 0, side: int = 1080) -> np.ndarray:
    """A plane of smooth cells and camera noise, which compresses about as real ones do: hardly."""
    rng = np.random.default_rng(seed)
    y, x = np.mgrid[:side, :side]
    plane = np.full((side, side), 300.0)
    for _ in range(150):
        cy, cx, radius = rng.uniform(0, side), rng.uniform(0, side), rng.uniform(12, 40)
        plane += rng.uniform(200, 3000) * np.exp(-((y - cy) ** 2 + (x - cx) ** 2) / radius**2)
    return np.clip(rng.poisson(plane), 0, 65535).astype(np.uint16)


def tiff_bytes(plane: np.ndarray, *, compression: str | None) -> bytes:
    """An uncompressed or LZW TIFF in one strip, as the Opera Phenix writes them."""
    buffer = io.BytesIO()
    tifffile.imwrite(buffer, plane, compression=compression, rowsperstrip=len(plane))
    return buffer.getvalue()


def ours(content: bytes, resize: Resize = "bilinear") -> np.ndarray:
    """One channel in [0, 1]; the x3 replicate and ImageNet's statistics are in the backbone."""
    plane = decode_plane(content)
    return resize_plane(plane, grey_map(plane, Normalisation.UINT16, _ANY), SIZE, resize)


def largest_difference(content: bytes) -> float:
    """Between our input and the literal one, after both are normalised."""
    channel = torch.from_numpy(ours(content)).expand(3, -1, -1)
    return float(((channel - IMAGENET_MEAN) / IMAGENET_SD - model_input(content, SIZE)).abs().max())


def tiff_to_input(content: bytes, *, rounds: int) -> list[Timing]:
    """One image, one thread: the literal chain, ours, ours with its QC, and the bytes alone."""
    torch.set_num_threads(1)
    difference = largest_difference(content)
    if difference > 2e-6:
        raise AssertionError(f"inputs differ by {difference}")
    return interleave(
        [
            Way("literal spec", lambda: model_input(content, SIZE)),
            Way("ours, bilinear", lambda: ours(content)),
            Way("ours, area (default)", lambda: ours(content, "area")),
            Way("ours, area, with QC", lambda: _with_qc(content)),
            Way("limit: copy the bytes", lambda: bytes(bytearray(content))),
        ],
        rounds=rounds,
    )


def _with_qc(content: bytes) -> object:
    """What extraction does with each image."""
    plane = decode_plane(content)
    grey = grey_map(plane, Normalisation.PLATE_PERCENTILE, GreyRange(200, 3000))
    return image_levels(plane), resize_plane(plane, grey, SIZE, "area")


def overlap(cost: float, *, sites: int) -> tuple[float, float, float]:
    """Seconds of decoding alone, of a stand-in backbone alone, and of both as one pipeline.

    The stand-in waits without holding the interpreter, as a GPU does, for ``cost`` times what
    decoding takes.
    """
    torch.set_num_threads(1)
    content = tiff_bytes(synthetic_plane(), compression="lzw")
    config = PreprocessConfig(size=SIZE, workers=2)
    ranges = {"P": {"DNA": GreyRange(0, 3000)}}
    opened, files = opened_tiffs(lambda _: content), {"DNA": ImageFile("x")}
    images = [SiteImages("P", "A01", n, files, opened) for n in range(sites)]
    prepare_site(images[0], ranges["P"], config)

    def drain(wait: Callable[[], None]) -> float:
        start = time.perf_counter()
        for _ in prepare_sites(images, ranges, config):
            wait()
        return time.perf_counter() - start

    decoding = drain(lambda: None)
    pause = cost * decoding / sites
    return decoding, pause * sites, drain(lambda: time.sleep(pause))
