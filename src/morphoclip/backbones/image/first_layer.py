"""The first layer of a vision model: three colours folded into one grey channel."""

from typing import Any

import torch
from torch import nn

from morphoclip.errors import InputError


def fold_to_one_channel(model: nn.Module, mean: tuple[float, ...], sd: tuple[float, ...]) -> None:
    """Fold the x3 replicate and the normalisation of colours into the first convolution, exactly.

    With w1 = sum_c w_c / sd_c and b1 = b - sum_c w_c mean_c / sd_c, one grey channel gives what
    three normalised copies of it would give.

    Raises:
        InputError: The model does not begin with one unpadded three-channel convolution.
    """
    first = [m for m in model.modules() if isinstance(m, nn.Conv2d) and m.in_channels == 3]
    if len(first) != 1 or first[0].padding not in ((0, 0), "valid"):
        raise InputError(
            "the image backbone does not begin with one unpadded three-channel convolution, which "
            "single-channel images need; choose a ViT such as DINOv3"
        )
    conv = first[0]
    with torch.no_grad():
        scale = 1 / torch.tensor(sd, dtype=torch.float64)
        shift = torch.tensor(mean, dtype=torch.float64) * scale
        weight = conv.weight.double()
        folded = torch.einsum("ochw,c->ohw", weight, scale).unsqueeze(1)
        bias = conv.bias.double() if conv.bias is not None else torch.zeros(conv.out_channels)
        offset = bias - torch.einsum("ochw,c->o", weight, shift)
        conv.weight = nn.Parameter(folded.to(conv.weight.dtype), requires_grad=False)
        conv.bias = nn.Parameter(offset.to(conv.weight.dtype), requires_grad=False)
    conv.in_channels = 1
    holders: list[Any] = [getattr(model, "config", None), *model.modules()]
    for holder in holders:
        if getattr(holder, "num_channels", None) == 3:  # patch embeddings keep a copy to check by
            holder.num_channels = 1
