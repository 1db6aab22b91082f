"""How time and memory grow with the work: each size in a process of its own."""

import resource
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np

SIZES = (1, 4, 16)


@dataclass(frozen=True)
class Growth:
    """One path at several sizes.

    ``exponent`` is the slope of log time over log size: 1 where twice the work takes twice as long.
    ``megabytes`` is what the process holds at most beyond what it holds at a quarter of the first
    size.
    """

    path: str
    seconds: list[float]
    megabytes: list[float]
    exponent: float


def decoding(size: float) -> Callable[[], object]:
    """``24 * size`` sites through the reader threads."""
    from benchmarks.images import synthetic_plane, tiff_bytes
    from morphoclip.imaging.config import PreprocessConfig
    from morphoclip.imaging.grey_levels import GreyRange
    from morphoclip.imaging.preprocess import ImageFile, SiteImages, prepare_sites
    from morphoclip.imaging.tiff import opened_tiffs

    content = tiff_bytes(synthetic_plane(), compression="lzw")
    ranges = {"P": {"DNA": GreyRange(0, 3000)}}
    config = PreprocessConfig(workers=2)
    n_sites = max(int(24 * size), 1)
    opened, files = opened_tiffs(lambda _: content), {"DNA": ImageFile("x")}
    sites = [SiteImages("P", "A01", n, files, opened) for n in range(n_sites)]
    return lambda: sum(1 for _ in prepare_sites(sites, ranges, config, ahead=16))


def loading(size: float) -> Callable[[], object]:
    """A packed plate of ``24 * size`` wells."""
    import torch

    from morphoclip.datasets.torch_file import TorchFileDataset
    from morphoclip.features.plate_features import PlateFeatures
    from morphoclip.well_names import well_name

    n_wells = max(int(24 * size), 1)
    places = [(well_name(n // 24 + 1, n % 24 + 1), s) for n in range(n_wells) for s in range(1, 10)]
    folder = tempfile.mkdtemp()
    dataset = TorchFileDataset(
        filepath=str(Path(folder) / "plate.pt"),
        codec="morphoclip.features.plate_features.PlateFeatures",
        mmap=True,
    )
    dataset.save(PlateFeatures.pack("P", places, torch.randn(len(places), 5, 1024), {"a": "1"}))
    return lambda: dataset.load().tokens.clone()


def training(size: float) -> Callable[[], object]:
    """An epoch of ``16 * size`` wells of 9 sites, in batches of 16."""
    import torch

    from benchmarks.training import MODEL, synthetic_wells
    from morphoclip.columns import PLATE, SUBSET, WELL
    from morphoclip.training.config import TrainingConfig
    from morphoclip.training.data import training_data
    from morphoclip.training.epoch import train_one_epoch
    from morphoclip.training.trainer import initial_state

    torch.set_num_threads(1)
    wells = synthetic_wells(max(int(16 * size), 6), share_with_16=0.0)
    subsets = ["validation" if n < 2 else "train" for n in range(len(wells.table))]
    manifest = wells.table[[PLATE, WELL]].assign(**{SUBSET: subsets})
    config = TrainingConfig(batch_size=16, device="cpu")
    data = training_data(wells, manifest, config, "cpu")
    state = initial_state(data, MODEL, config, "cpu")
    return lambda: train_one_epoch(state, data, config, "cpu")


def retrieval(size: float) -> Callable[[], object]:
    """``1,200 * size`` wells rank 816 texts."""
    from morphoclip.metrics.query_metrics import Block, query_metrics

    n_wells = int(1200 * size)
    similarity = np.random.default_rng(0).random((n_wells, 816))
    relevant = (np.arange(n_wells) % 816)[:, None] == np.arange(816)[None, :]
    return lambda: query_metrics(Block(similarity, relevant))


def lora_one_pass(size: float) -> Callable[[], object]:
    """A LoRA step of ``32 * size`` wells, all in one graph."""
    from benchmarks.lora import one_pass

    return one_pass(size)


def lora_two_passes(size: float) -> Callable[[], object]:
    """A LoRA step of ``32 * size`` wells in micro-batches of 8."""
    from benchmarks.lora import two_passes

    return two_passes(size)


PATHS = {
    "decoding, 24 sites": decoding,
    "loading, 24 wells": loading,
    "training epoch, 16 wells": training,
    "retrieval, 1,200 wells": retrieval,
    "LoRA step, one pass, 32 wells": lora_one_pass,
    "LoRA step, two passes, 32 wells": lora_two_passes,
}
"""What the smallest size is."""


def growth(path: str) -> Growth:
    """Time and memory of one path at all sizes."""
    floor = _measured(path, SIZES[0] / 4)[1]
    measured = [_measured(path, size) for size in SIZES]
    seconds = [own[0] for own in measured]
    slope = np.polyfit(np.log(SIZES), np.log(seconds), 1)[0]
    return Growth(path, seconds, [own[1] - floor for own in measured], float(slope))


def _measured(path: str, size: float) -> tuple[float, float]:
    """Seconds of a run after a first one, and the most memory of the process in MB."""
    command = [sys.executable, "-m", "benchmarks.growth", path, str(size)]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    seconds, megabytes = said.split()[-2:]
    return float(seconds), float(megabytes)


def main() -> None:
    """One size of one path, for `growth`."""
    run = PATHS[sys.argv[1]](float(sys.argv[2]))
    run()
    start = time.perf_counter()
    run()
    seconds = time.perf_counter() - start
    print(seconds, peak_megabytes())


def peak_megabytes() -> float:
    """The most memory this process held; Linux's ``ru_maxrss`` begins with its parent's."""
    status = Path("/proc/self/status")
    if status.exists():
        held = dict(line.split(":", 1) for line in status.read_text().splitlines())
        return int(held["VmHWM"].split()[0]) * 1024 / 1e6
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
