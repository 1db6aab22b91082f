"""A step of LoRA: two passes in micro-batches beside one pass, stored images beside TIFFs."""

import tempfile
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pandas as pd
import torch
from torch import Tensor

from benchmarks.harness import Timing, Way, interleave
from benchmarks.images import synthetic_plane, tiff_bytes
from benchmarks.training import synthetic_wells
from morphoclip.backbones.image import load_image_backbone
from morphoclip.columns import PLATE, SUBSET, WELL
from morphoclip.features.config import ImageFeaturesConfig
from morphoclip.imaging.config import PreprocessConfig
from morphoclip.imaging.grey_levels import GreyRange
from morphoclip.imaging.preprocess import ImageFile, SiteImages, prepare_site
from morphoclip.imaging.tiff import opened_tiffs
from morphoclip.models.config import ModelConfig
from morphoclip.training.config import TrainingConfig
from morphoclip.training.data import TrainingData, training_data
from morphoclip.training.distributed import ALONE
from morphoclip.training.fine_tuning import FineTuning, LoraConfig
from morphoclip.training.state import TrainingState
from morphoclip.training.step import accumulate_gradients
from morphoclip.training.trainer import initial_state
from morphoclip.wells.batch import WellBatch
from morphoclip.wells.site_images import ImagedWells

CHANNELS, SIZE = 5, 64
FEATURES = ImageFeaturesConfig.model_validate(
    {
        "channels": {f"channel {n}": n for n in range(CHANNELS)},
        "preprocess": {"size": SIZE},
        "backbone": {
            "kind": "untrained",
            "untrained": {"hidden_size": 96, "layers": 4, "heads": 3},
        },
    }
)
MODEL = ModelConfig(
    token_normalisation="none", ccf_ff_dim=384, proj_dropout=0.0, proj_hidden_dim=128
)


def lora_step(n_wells: int, *, micro_batch: int, rounds: int) -> list[Timing]:
    """Gradients of one batch, one site a well, one thread.

    Raises:
        AssertionError: The ways' losses differ.
    """
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as name:
        stored = _stored(Path(name), n_wells)
        content = tiff_bytes(synthetic_plane(), compression="lzw")
        ranges = {channel: GreyRange(0, 3000) for channel in FEATURES.channels}
        read = partial(_from_tiffs, content, ranges)
        ways = {
            "literal: one pass, stored images": _step(stored, None),
            f"two passes of {micro_batch}": _step(stored, micro_batch),
            "one pass, from LZW TIFFs": _step([read] * n_wells, None),
        }
        losses = [float(run()) for run in list(ways.values())[:2]]
        assert abs(losses[0] - losses[1]) < 1e-4, losses
        return interleave([Way(name, run) for name, run in ways.items()], rounds=rounds)


def one_pass(size: float) -> Callable[[], object]:
    """A step of ``32 * size`` wells in one pass."""
    return _with_own_images(int(32 * size), None)


def two_passes(size: float) -> Callable[[], object]:
    """A step of ``32 * size`` wells in micro-batches of 8."""
    return _with_own_images(int(32 * size), 8)


def _with_own_images(n_wells: int, micro_batch: int | None) -> Callable[[], object]:
    torch.set_num_threads(1)
    image = torch.rand(CHANNELS, SIZE, SIZE, generator=torch.Generator().manual_seed(0))
    return _step([image.clone] * n_wells, micro_batch)


def _step(images: list[Callable[[], Tensor]], micro_batch: int | None) -> Callable[[], Tensor]:
    """A function that computes loss and gradients of all wells."""
    state, data, config = _prepared(images, micro_batch)
    rows = torch.arange(len(images))

    def run() -> Tensor:
        state.optimizer.zero_grad(set_to_none=True)
        return accumulate_gradients(state, data, rows, config, "cpu", ALONE)

    return run


def _prepared(
    images: list[Callable[[], Tensor]], micro_batch: int | None
) -> tuple[TrainingState, TrainingData, TrainingConfig]:
    backbone = load_image_backbone(FEATURES.backbone, CHANNELS)
    wells = synthetic_wells(max(len(images), 4), share_with_16=0.0)
    wells = wells.select(torch.arange(len(images)))
    one_site = torch.arange(len(images) + 1)
    sites = WellBatch(torch.zeros(len(images), CHANNELS, backbone.feature_dim).half(), one_site)
    imaged = ImagedWells(
        **vars(wells) | {"sites": sites, "image_fingerprint": dict(backbone.identity)},
        images=tuple(images),
        plates=torch.from_numpy(pd.factorize(wells.table[PLATE], sort=True)[0].copy()),
    )
    lora = LoraConfig(rank=8, sites_per_well=None, batch_size=len(images), micro_batch=micro_batch)
    config = lora.applied_to(TrainingConfig(device="cpu"))
    subsets = ["validation" if n < 2 else "train" for n in range(len(images))]
    manifest = wells.table[[PLATE, WELL]].assign(**{SUBSET: subsets})
    data = training_data(imaged, manifest, config, "cpu")
    state = initial_state(data, MODEL, config, "cpu", FineTuning(lora, FEATURES, None))
    state.model.train()
    return state, data, config


def _stored(folder: Path, n_wells: int) -> list[Callable[[], Tensor]]:
    content = tiff_bytes(synthetic_plane(), compression="lzw")
    ranges = {channel: GreyRange(0, 3000) for channel in FEATURES.channels}
    pixels = _from_tiffs(content, ranges)
    loads = []
    for number in range(n_wells):
        path = folder / f"{number}.pt"
        with path.open("wb") as file:
            torch.save(pixels.half(), file)
        loads.append(partial(_load, path))
    return loads


def _load(path: Path) -> Tensor:
    images: Tensor = torch.load(path, weights_only=True)  # noqa: TID251 - written above
    return images.float()


def _from_tiffs(content: bytes, ranges: dict[str, GreyRange]) -> Tensor:
    """The images of one site, decoded, scaled and resized; nuclei are not counted."""
    files = dict.fromkeys(FEATURES.channels, ImageFile("x"))
    config = PreprocessConfig(size=SIZE, count_nuclei="none")
    images = SiteImages("P", "A01", 1, files, opened_tiffs(lambda _: content))
    site = prepare_site(images, ranges, config)
    assert site.pixels is not None
    return torch.from_numpy(site.pixels)
