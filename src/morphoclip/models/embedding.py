"""Wells and prompts through a trained model."""

from typing import NamedTuple

import numpy as np
import pandas as pd
import torch
from numpy.typing import NDArray

from morphoclip.models.morphoclip import MorphoCLIP
from morphoclip.schemas import EMBEDDING_PREFIX, PLATE, PROMPT_DIGEST, SUBSET, WELL
from morphoclip.wells.assemble import Wells


class Embeddings(NamedTuple):
    """Unit vectors of wells ``(B, E)`` and of the distinct prompts ``(P, E)``, float32."""

    image: NDArray[np.float32]
    text: NDArray[np.float32]


@torch.inference_mode()
def embed(model: MorphoCLIP, wells: Wells, *, batch_size: int, device: str) -> Embeddings:
    """Embed all wells and prompts, ``batch_size`` wells at a time."""
    was_training = model.training
    model = model.to(device).eval()
    batches = torch.arange(len(wells.table)).split(batch_size)
    image = [model.encode_image(wells.sites.select(rows).to(device)).cpu() for rows in batches]
    text = model.encode_text(wells.text.to(device)).cpu()
    model.train(was_training)
    return Embeddings(torch.cat(image).numpy(), text.numpy())


class ProfileTables(NamedTuple):
    """Embeddings as tables: a profile a well, and a row a distinct prompt."""

    profiles: pd.DataFrame
    prompt_embeddings: pd.DataFrame


def profile_tables(embedded: Embeddings, wells: Wells, manifest: pd.DataFrame) -> ProfileTables:
    """``Metadata_*`` columns of the wells and their subset, then ``embedding_000`` and so on."""
    width = len(str(embedded.image.shape[1] - 1))
    dims = [f"{EMBEDDING_PREFIX}{i:0{width}d}" for i in range(embedded.image.shape[1])]
    subsets = manifest.set_index([PLATE, WELL])[SUBSET]
    keys = pd.MultiIndex.from_frame(wells.table[[PLATE, WELL]])
    metadata = wells.table.assign(**{SUBSET: subsets.reindex(keys).to_numpy()})
    return ProfileTables(
        pd.concat([metadata, pd.DataFrame(embedded.image, columns=dims)], axis=1),
        pd.DataFrame(embedded.text, columns=dims).assign(**{PROMPT_DIGEST: wells.digests}),
    )
