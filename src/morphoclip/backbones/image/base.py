"""What every vision backbone is to the rest: sites in, tokens out."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal, Self, assert_never

import torch
from torch import Tensor, nn

from morphoclip.errors import InputError

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16, "float16": torch.float16}

IMAGENET_MEAN: tuple[float, ...] = (0.485, 0.456, 0.406)
IMAGENET_SD: tuple[float, ...] = (0.229, 0.224, 0.225)


@dataclass(frozen=True)
class LoadedModel:
    """A model of any library, and what has to be known to use it.

    Attributes:
        model: Takes normalised images; its first layer is as published.
        token: ``token(model, images)`` gives one token ``(N, D)`` per image, CLS in most.
        feature_dim: D.
        patch: Pixels per side of a patch, which images have to fill.
        mean: What the model expects subtracted from each channel in [0, 1].
        sd: What it expects each channel divided by.
        identity: What tells it from other models.
    """

    model: nn.Module
    token: Callable[[Any, Tensor], Tensor]
    feature_dim: int
    patch: int
    mean: tuple[float, ...]
    sd: tuple[float, ...]
    identity: dict[str, str]


class ImageBackbone(nn.Module):
    """Sites ``(S, C, size, size)`` in [0, 1] to tokens ``(S, T, D)`` float32.

    ``per_channel``: T = C, one token per channel, each channel alone through a model whose first
    layer takes one. ``multi_channel``: T = 1, all channels of a site through the model at once.
    Frozen, until an adapter is put on.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        channels: Literal["per_channel", "multi_channel"],
        dtype: torch.dtype,
    ) -> None:
        super().__init__()
        self.model: Any = loaded.model.to(dtype).eval().requires_grad_(requires_grad=False)
        self.training = False
        self.identity = loaded.identity
        self.feature_dim = loaded.feature_dim
        self.dtype = dtype
        self._token, self._patch, self._channels = loaded.token, loaded.patch, channels
        self._mean: Tensor
        self._sd: Tensor
        self.register_buffer("_mean", torch.tensor(loaded.mean).view(1, -1, 1, 1), persistent=False)
        self.register_buffer("_sd", torch.tensor(loaded.sd).view(1, -1, 1, 1), persistent=False)

    def train(self, mode: bool = True) -> Self:  # noqa: ARG002, FBT001, FBT002 - nn.Module's signature
        """Stay in evaluation mode: in training DINOv3 would move its patches about."""
        return self

    @property
    def patch(self) -> int:
        """Pixels per side of a patch."""
        return self._patch

    def check_size(self, size: int) -> None:
        """Raise where images of this size do not fill whole patches.

        Raises:
            InputError: The size is no multiple of the patch.
        """
        patch = self._patch
        if size % patch:
            raise InputError(
                f"image_features.preprocess.size {size} is no multiple of the backbone's patch of "
                f"{patch} pixels; the nearest are {size // patch * patch or patch} and "
                f"{(size // patch + 1) * patch}"
            )

    def forward(self, sites: Tensor) -> Tensor:
        """``(S, C, H, W)`` -> ``(S, T, D)``."""
        n_sites, n_channels, height, width = sites.shape
        match self._channels:
            case "per_channel":
                images = sites.reshape(n_sites * n_channels, 1, height, width)
            case "multi_channel":
                images = (sites - self._mean) / self._sd
            case _:
                assert_never(self._channels)
        tokens = self._token(self.model, images.to(self.dtype))
        return tokens.float().reshape(n_sites, -1, self.feature_dim)
