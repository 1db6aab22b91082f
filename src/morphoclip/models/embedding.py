"""Wells and prompts through a trained model."""

from collections.abc import Mapping
from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray
from torch import Tensor

from morphoclip.features.extract import resolve_device
from morphoclip.models.morphoclip import MorphoCLIP, TrainedModel
from morphoclip.plate_effects import align_by_offset, reference_wells
from morphoclip.schemas import EMBEDDING_PREFIX, PLATE, PROMPT_DIGEST, REFERENCE, SUBSET, WELL
from morphoclip.wells.assemble import Wells


class Embeddings(NamedTuple):
    """Unit vectors of wells ``(B, E)`` and of the distinct prompts ``(P, E)``, float32."""

    image: NDArray[np.float32]
    text: NDArray[np.float32]


@torch.inference_mode()
def embed(
    model: MorphoCLIP,
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
    image = [model.encode_image(wells.sites.select(rows).to(device)).cpu() for rows in batches]
    text = model.encode_text(wells.text.to(device)).cpu()
    model.train(was_training)
    return Embeddings(_less_offsets(torch.cat(image), wells, offsets or {}).numpy(), text.numpy())


def embed_by(trained: TrainedModel, wells: Wells, *, batch_size: int, device: str) -> Embeddings:
    """What a trained model makes of wells, with the offsets of the plates that it knows.

    Raises:
        InputError: Their features were made differently from those of the training.
    """
    trained.require_fits(wells)
    return embed(
        trained.build(),
        wells,
        offsets=trained.plate_offsets,
        batch_size=batch_size,
        device=resolve_device(device),
    )


def _less_offsets(image: Tensor, wells: Wells, offsets: Mapping[str, Tensor]) -> Tensor:
    if not offsets:
        return image
    codes, plates = pd.factorize(wells.table[PLATE])
    none = torch.zeros(image.shape[1])
    rows = torch.stack([offsets.get(plate, none) for plate in plates])
    return align_by_offset(image, torch.from_numpy(codes), rows)


class ProfileTables(NamedTuple):
    """Embeddings as tables: a profile a well, and a row a distinct prompt."""

    profiles: pd.DataFrame
    prompt_embeddings: pd.DataFrame


def profile_tables(embedded: Embeddings, wells: Wells, manifest: pd.DataFrame) -> ProfileTables:
    """Profiles with the subset of each well, and the embeddings of the prompts."""
    profiles = profile_table(embedded, wells)
    subsets = manifest.set_index([PLATE, WELL])[SUBSET]
    keys = pd.MultiIndex.from_frame(profiles[[PLATE, WELL]])
    place = profiles.columns.get_loc(REFERENCE)
    profiles.insert(place, SUBSET, subsets.reindex(keys).to_numpy())
    prompts = pd.DataFrame(embedded.text, columns=_dimensions(embedded.text.shape[1]))
    return ProfileTables(profiles, prompts.assign(**{PROMPT_DIGEST: wells.digests}))


def profile_table(embedded: Embeddings, wells: Wells) -> pd.DataFrame:
    """``Metadata_*`` columns of the wells, then ``embedding_000`` and so on.

    ``Metadata_reference`` marks the half of the negative controls that plates are normalised by.
    """
    metadata = wells.table.assign(**{REFERENCE: reference_wells(wells.table)})
    columns = _dimensions(embedded.image.shape[1])
    return pd.concat([metadata, pd.DataFrame(embedded.image, columns=columns)], axis=1)


def _dimensions(number: int) -> list[str]:
    width = len(str(number - 1))
    return [f"{EMBEDDING_PREFIX}{n:0{width}d}" for n in range(number)]
