"""What a CUDA device does: extraction beside the model's own ceiling, epochs from its memory."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import torch

from benchmarks.images import SIZE, synthetic_plane, tiff_bytes
from benchmarks.training import CHANNELS, MODEL, synthetic_wells
from morphoclip.backbones.config import ImageBackboneConfig, UntrainedViT
from morphoclip.backbones.image import load_image_backbone
from morphoclip.columns import PLATE, SUBSET, WELL
from morphoclip.features.extract import extract_features
from morphoclip.imaging.config import PreprocessConfig
from morphoclip.imaging.grey_levels import GreyRange
from morphoclip.imaging.preprocess import ImageFile, SiteImages, prepare_sites
from morphoclip.imaging.tiff import opened_tiffs
from morphoclip.training.config import TrainingConfig
from morphoclip.training.data import training_data
from morphoclip.training.epoch import train_one_epoch
from morphoclip.training.trainer import initial_state

Precision = Literal["float32", "tf32", "bfloat16"]
VIT_LARGE = UntrainedViT(hidden_size=1024, layers=24, heads=16)
"""What DINOv3 ViT-L costs; its weights change no time."""
_BATCH = 48


@dataclass(frozen=True)
class Extraction:
    """Images a second from TIFF to features; ``share`` is of the forward pass's own rate.

    ``gigabytes`` is the most that the device held, None where nothing counts it.
    """

    precision: Precision
    images_per_second: float
    share: float
    gigabytes: float | None


@dataclass(frozen=True)
class Epoch:
    """Seconds of a training epoch whose features lie on the device."""

    n_wells: int
    seconds: float
    gigabytes: float | None


def extraction(
    device: str, precision: Precision, *, sites: int, vit: UntrainedViT = VIT_LARGE
) -> Extraction:
    """Sites of five LZW planes, read by as many threads as there are cores."""
    dtype = "bfloat16" if precision == "bfloat16" else "float32"
    settings = ImageBackboneConfig(kind="untrained", untrained=vit, dtype=dtype)
    backbone = load_image_backbone(settings, CHANNELS).to(device)
    content = tiff_bytes(synthetic_plane(), compression="lzw")
    files = {f"channel {n}": ImageFile("x") for n in range(CHANNELS)}
    ranges = {"P": dict.fromkeys(files, GreyRange(0, 3000))}
    config = PreprocessConfig(size=SIZE)
    opened = opened_tiffs(lambda _: content)
    images = [SiteImages("P", "A01", n, files, opened) for n in range(sites)]
    on_device = torch.rand(_BATCH * CHANNELS, 1, SIZE, SIZE, device=device)

    def all_sites() -> None:
        prepared = prepare_sites(images, ranges, config, ahead=2 * _BATCH)
        for _ in extract_features(prepared, backbone, batch_size=_BATCH, device=device):
            pass

    with _matmul_precision("high" if precision == "tf32" else "highest"):
        ceiling = len(on_device) / _seconds(lambda: backbone(on_device), device)
        _forget_peak(device)
        rate = sites * CHANNELS / _seconds(all_sites, device)
    return Extraction(precision, rate, rate / ceiling, _peak_gigabytes(device))


def epoch(device: str, *, n_wells: int, batch_size: int = 256) -> Epoch:
    """One epoch of the full-size model over wells of 9 sites."""
    wells = synthetic_wells(n_wells, share_with_16=0.0)
    subsets = ["validation" if n < 2 else "train" for n in range(n_wells)]
    manifest = wells.table[[PLATE, WELL]].assign(**{SUBSET: subsets})
    config = TrainingConfig(batch_size=batch_size, device=device, placement="device")
    _forget_peak(device)
    data = training_data(wells, manifest, config, device)
    state = initial_state(data, MODEL, config, device)
    seconds = _seconds(lambda: train_one_epoch(state, data, config, device), device)
    return Epoch(n_wells, seconds, _peak_gigabytes(device))


def _seconds(run: Callable[[], object], device: str) -> float:
    """Of the second run: the first one compiles and fills caches."""
    run()
    _wait(device)
    start = time.perf_counter()
    run()
    _wait(device)
    return time.perf_counter() - start


@contextmanager
def _matmul_precision(wanted: str) -> Iterator[None]:
    before = torch.get_float32_matmul_precision()
    torch.set_float32_matmul_precision(wanted)
    try:
        yield
    finally:
        torch.set_float32_matmul_precision(before)


def _wait(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.synchronize(device)


def _forget_peak(device: str) -> None:
    if device.startswith("cuda"):
        torch.cuda.reset_peak_memory_stats(device)


def _peak_gigabytes(device: str) -> float | None:
    return torch.cuda.max_memory_allocated(device) / 1e9 if device.startswith("cuda") else None
