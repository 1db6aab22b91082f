"""Wells and prompts through a trained model."""

from collections.abc import Mapping
from dataclasses import replace
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from morphoclip.columns import PLATE
from morphoclip.models.closed_form import ClosedForm
from morphoclip.models.fine_tuned import FineTuned
from morphoclip.models.morphoclip import MorphoCLIP
from morphoclip.models.trained import TrainedModel
from morphoclip.plate_effects import align_by_offset
from morphoclip.wells.assemble import Wells


class Embeddings(NamedTuple):
    """Unit vectors of wells ``(B, E)`` and of the distinct prompts ``(P, E)``, float32.

    ``widths`` are the dimensions of the spaces that lie side by side in them: of one pair of towers
    E alone.
    """

    image: NDArray[np.float32]
    text: NDArray[np.float32]
    widths: tuple[int, ...]


@torch.inference_mode()
def embed(
    model: MorphoCLIP | FineTuned | ClosedForm,
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
    aligned = less_offsets(torch.cat(image), wells, offsets or {}).numpy()
    return Embeddings(aligned, text.numpy(), (text.shape[1],))


def embed_with_parts(
    trained: TrainedModel, wells: Wells, *, batch_size: int, device: str
) -> Embeddings:
    """Embeddings in all spaces of a trained model, side by side; their cosine is the mean cosine.

    Each space counts by its share, so that vectors keep unit length.
    """
    text = trained.read_text(wells.text, wells.fact_names)
    read = replace(wells, text=text, fact_names=trained.fact_names)
    images, texts = [], []
    for part in trained.parts():
        found = embed(
            part.module, read, batch_size=batch_size, device=device, offsets=part.plate_offsets
        )
        weight = np.float32(np.sqrt(part.share))
        images.append(weight * found.image)
        texts.append(weight * found.text)
    widths = tuple(image.shape[1] for image in images)
    return Embeddings(np.concatenate(images, axis=1), np.concatenate(texts, axis=1), widths)


@torch.inference_mode()
def embed_text(trained: TrainedModel, features: Tensor) -> NDArray[np.float32]:
    """Texts ``(P, D_text)``, of whose treatments no facts are known, as unit vectors ``(P, E)``."""
    text = trained.read_text(features, {})
    parts = [part.module.encode_text(text) * part.share**0.5 for part in trained.parts()]
    return torch.cat(parts, dim=1).numpy()


def less_offsets(image: Tensor, wells: Wells, offsets: Mapping[str, Tensor]) -> Tensor:
    """Embeddings of wells ``(B, E)`` less the offsets of their plates, at unit length."""
    if not offsets:
        return image
    codes, plates = pd.factorize(wells.table[PLATE])
    none = torch.zeros(image.shape[1])
    rows = torch.stack([offsets.get(plate, none) for plate in plates])
    return align_by_offset(image, torch.from_numpy(codes), rows)
