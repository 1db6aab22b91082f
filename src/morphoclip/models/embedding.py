"""Wells and prompts through a trained model."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, NamedTuple, Protocol

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from morphoclip.columns import PLATE
from morphoclip.models.closed_form import ClosedForm
from morphoclip.models.morphoclip import MorphoCLIP
from morphoclip.models.trained import TrainedModel
from morphoclip.plate_effects import align_by_offset
from morphoclip.wells.ahead import Take
from morphoclip.wells.assemble import Wells

if TYPE_CHECKING:  # it imports what reads images, which profiles alone do not need
    from morphoclip.models.fine_tuned import FineTuned


class WellsOfPlates(Protocol):
    """Wells with features, with or without prompts."""

    @property
    def table(self) -> pd.DataFrame:
        """One row per well."""
        ...

    def ahead(self, batches: Sequence[Tensor]) -> Iterator[Take]:
        """What gives the model one batch of wells ``(B',)`` after the other."""
        ...


class Embeddings(NamedTuple):
    """Unit vectors of wells ``(B, E)`` and of the distinct prompts ``(P, E)``, float32.

    ``widths`` are the dimensions of the spaces that lie side by side in them: of one pair of towers
    E alone.
    """

    image: NDArray[np.float32]
    text: NDArray[np.float32]
    widths: tuple[int, ...]


class WellEmbeddings(NamedTuple):
    """Unit vectors of wells ``(B, E)``, float32, and the widths of the spaces in them."""

    image: NDArray[np.float32]
    widths: tuple[int, ...]


@torch.inference_mode()
def embed(
    model: "MorphoCLIP | FineTuned | ClosedForm",
    wells: Wells,
    *,
    batch_size: int,
    device: str,
    offsets: Mapping[str, Tensor] | None = None,
) -> Embeddings:
    """Embed all wells and prompts, ``batch_size`` wells at a time, less their plates' offsets."""
    was_training = model.training
    model = model.to(device).eval()
    image = _encode_wells(model, wells, batch_size, device, offsets or {})
    text = model.encode_text(wells.text.to(device)).cpu()
    model.train(was_training)
    return Embeddings(image, text.numpy(), (text.shape[1],))


def _encode_wells(
    model: "MorphoCLIP | FineTuned | ClosedForm",
    wells: WellsOfPlates,
    batch_size: int,
    device: str,
    offsets: Mapping[str, Tensor],
) -> NDArray[np.float32]:
    batches = torch.arange(len(wells.table)).split(batch_size)
    image = torch.cat(
        [
            model.encode_image(take(rows, device)).cpu()
            for rows, take in zip(batches, wells.ahead(batches), strict=True)
        ]
    )
    return less_offsets(image, wells, offsets).numpy()


def embed_with_parts(
    trained: TrainedModel, wells: Wells, *, batch_size: int, device: str
) -> Embeddings:
    """Embeddings in all spaces of a trained model, side by side; their cosine is the mean cosine.

    Each space counts by its share, so that vectors keep unit length.
    """
    embedded = embed_wells(trained, wells, batch_size=batch_size, device=device)
    text = embed_text(trained, wells.text, wells.fact_names, device=device)
    return Embeddings(embedded.image, text, embedded.widths)


@torch.inference_mode()
def embed_wells(
    trained: TrainedModel, wells: WellsOfPlates, *, batch_size: int, device: str
) -> WellEmbeddings:
    """The image side of `embed_with_parts`; no prompts are needed."""
    images = []
    for part in trained.parts():
        module = part.module.to(device)
        found = _encode_wells(module, wells, batch_size, device, part.plate_offsets)
        images.append(np.float32(np.sqrt(part.share)) * found)
    return WellEmbeddings(np.concatenate(images, axis=1), tuple(image.shape[1] for image in images))


@torch.inference_mode()
def embed_text(
    trained: TrainedModel,
    features: Tensor,
    fact_names: Mapping[str, tuple[str, ...]] | None = None,
    *,
    device: str = "cpu",
) -> NDArray[np.float32]:
    """Texts ``(P, D_text + F)`` as unit vectors ``(P, E)``.

    ``fact_names`` says which known facts follow the words' features; none by default.
    """
    text = trained.read_text(features, fact_names or {}).to(device)
    parts = [
        np.float32(np.sqrt(part.share)) * part.module.to(device).encode_text(text).cpu().numpy()
        for part in trained.parts()
    ]
    return np.concatenate(parts, axis=1)


def less_offsets(image: Tensor, wells: WellsOfPlates, offsets: Mapping[str, Tensor]) -> Tensor:
    """Embeddings of wells ``(B, E)`` less the offsets of their plates, at unit length."""
    if not offsets:
        return image
    codes, plates = pd.factorize(wells.table[PLATE])
    none = torch.zeros(image.shape[1])
    rows = torch.stack([offsets.get(plate, none) for plate in plates])
    return align_by_offset(image, torch.from_numpy(codes), rows)
