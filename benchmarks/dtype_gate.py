"""``make dtype-gate MODEL=... IMAGES=...``: does half precision change a backbone's features?

Features of the same images in float32 and in another dtype are compared by their cosine, plain and
after the mean over images is taken off. The second is the one that counts: features of different
images share most of their direction, which hides what tells them apart.
"""

import argparse
import sys
from pathlib import Path

import numpy as np
import torch
from rich.console import Console
from rich.progress import track
from torch import Tensor
from torch.nn.functional import cosine_similarity

from morphoclip.backbones.config import ImageBackboneConfig
from morphoclip.backbones.image import load_image_backbone
from morphoclip.device import resolve_device
from morphoclip.errors import InputError
from morphoclip.imaging.config import Normalisation
from morphoclip.imaging.grey_levels import GreyRange, grey_map
from morphoclip.imaging.preprocess import resize_plane
from morphoclip.imaging.tiff import decode_plane

GATE = 0.99
"""What 95 of 100 centred features must reach for the dtype to be called safe."""


def main() -> int:
    """Print both cosines and the comparison_sentence; 1 where the dtype does not pass."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.dtype_gate", description=__doc__)
    parser.add_argument("--model", required=True, help="hub id or folder of the backbone")
    parser.add_argument("--images", required=True, type=Path, help="folder of TIFFs, one channel")
    parser.add_argument("--dtype", default="bfloat16", choices=("bfloat16", "float16"))
    parser.add_argument("--number", default=64, type=int, help="images, spread over the folder")
    parser.add_argument("--size", default=384, type=int, help="pixels a side")
    given = parser.parse_args()
    try:
        images = read_images(given.images, number=given.number, size=given.size)
        exact, rounded = (
            features(images, ImageBackboneConfig(model_id=given.model, dtype=dtype))
            for dtype in ("float32", given.dtype)
        )
    except InputError as error:
        sys.exit(str(error))
    return report(exact, rounded, given.dtype)


def read_images(folder: Path, *, number: int, size: int) -> Tensor:
    """``(N, 1, size, size)`` of up to ``number`` files, evenly spread over the sorted names."""
    paths = sorted(path for path in folder.rglob("*") if path.suffix.lower() in (".tif", ".tiff"))
    if len(paths) < 2:
        raise InputError(f"{folder} holds {len(paths)} TIFFs; the comparison needs two or more")
    chosen = [paths[n] for n in np.unique(np.linspace(0, len(paths) - 1, number).astype(int))]
    planes = [decode_plane(path.read_bytes()) for path in chosen]
    anything = GreyRange(0, 1)
    return torch.stack(
        [
            torch.from_numpy(
                resize_plane(
                    plane, grey_map(plane, Normalisation.IMAGE_PERCENTILE, anything), size, "area"
                )
            )[None]
            for plane in planes
        ]
    )


def features(images: Tensor, config: ImageBackboneConfig) -> Tensor:
    """``(N, D)`` float32 on the CPU."""
    device = resolve_device("auto")
    backbone = load_image_backbone(config, 1).to(device)
    batches = track(images.split(8), config.dtype, transient=True)
    return torch.cat([backbone(batch.to(device)).squeeze(1).cpu() for batch in batches])


def report(exact: Tensor, rounded: Tensor, dtype: str) -> int:
    """Print the comparison; 0 where it passes."""
    mean = exact.mean(dim=0)
    cosines = {
        "plain": cosine_similarity(exact, rounded),
        "centred": cosine_similarity(exact - mean, rounded - mean),
    }
    console = Console()
    for name, values in cosines.items():
        console.print(
            f"{name:<8} cosine of {dtype} to float32 over {len(values)} images: "
            f"lowest {values.min():.4f}, 5th percentile {values.quantile(0.05):.4f}, "
            f"median {values.median():.4f}"
        )
    passes = bool(cosines["centred"].quantile(0.05) >= GATE)
    console.print(
        f"{dtype} {'passes' if passes else 'does not pass'}: the gate is {GATE} at the 5th "
        "percentile of the centred cosine"
    )
    return 0 if passes else 1


if __name__ == "__main__":
    sys.exit(main())
