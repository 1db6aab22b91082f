"""The spec's text, transcribed as it stands: slow, obvious, and the tests' oracle.

Feature-extraction spec, "Pipeline Stages" 1 and 2: load a 16-bit image, divide by 65535, resize to
384 without antialias, replicate to pseudo-RGB, normalise with ImageNet's statistics.
"""

import io

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from torch.nn.functional import interpolate

IMAGENET_MEAN = torch.tensor([0.485, 0.456, 0.406]).view(3, 1, 1)
IMAGENET_SD = torch.tensor([0.229, 0.224, 0.225]).view(3, 1, 1)


def load_channel(content: bytes, size: int) -> Tensor:
    """One TIFF to ``(size, size)`` float32 in [0, 1]."""
    counts = np.array(Image.open(io.BytesIO(content))).astype(np.float32) / 65535
    resized = interpolate(torch.from_numpy(counts)[None, None], size=(size, size), mode="bilinear")
    return resized[0, 0]


def prepare_channel_for_dino(channel: Tensor) -> Tensor:
    """``(H, W)`` to normalised pseudo-RGB ``(3, H, W)``."""
    return (channel.expand(3, -1, -1).clone() - IMAGENET_MEAN) / IMAGENET_SD


def model_input(content: bytes, size: int) -> Tensor:
    """One TIFF to what DINOv3 takes, ``(3, size, size)``."""
    return prepare_channel_for_dino(load_channel(content, size))
