"""Wells and prompts through a trained model."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from morphoclip.columns import PLATE
from morphoclip.models.fine_tuned import FineTuned
from morphoclip.models.morphoclip import MorphoCLIP
from morphoclip.plate_effects import align_by_offset
from morphoclip.wells.assemble import Wells


class Embeddings(NamedTuple):
    """Unit vectors of wells ``(B, E)`` and of the distinct prompts ``(P, E)``, float32."""

    image: NDArray[np.float32]
    text: NDArray[np.float32]


@torch.inference_mode()
def embed(
    model: MorphoCLIP | FineTuned,
    wells: Wells,
    *,
    batch_size: int,
    device: str,
    offsets: Mapping[str, Tensor] | None = None,
) -> Embeddings:
    """Embed all wells and prompts, ``batch_size`` wells at a time, less their plates' offsets."""
    was_training = model.training
    model = model.to(device).eval()
    batches = torch.arange(len(wells.table)).split(batch_size)
    image = [model.encode_image(wells.batch(rows, device)).cpu() for rows in batches]
    text = model.encode_text(wells.text.to(device)).cpu()
    model.train(was_training)
    return Embeddings(less_offsets(torch.cat(image), wells, offsets or {}).numpy(), text.numpy())


def less_offsets(image: Tensor, wells: Wells, offsets: Mapping[str, Tensor]) -> Tensor:
    """Embeddings of wells ``(B, E)`` less the offsets of their plates, at unit length."""
    if not offsets:
        return image
    codes, plates = pd.factorize(wells.table[PLATE])
    none = torch.zeros(image.shape[1])
    rows = torch.stack([offsets.get(plate, none) for plate in plates])
    return align_by_offset(image, torch.from_numpy(codes), rows)
