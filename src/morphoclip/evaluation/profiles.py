"""Wells and prompts through a trained model, as tables of profiles."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morphoclip.columns import (
    EMBEDDING_PREFIX,
    MODALITY,
    MODEL,
    PLATE,
    PROMPT_DIGEST,
    QUALITY,
    REFERENCE,
    SUBSET,
    WELL,
    Subset,
    embedding_columns,
)
from morphoclip.device import resolve_device
from morphoclip.metrics.matrix import Matrix
from morphoclip.models.embedding import Embeddings, embed_with_parts
from morphoclip.models.trained import TrainedModel
from morphoclip.plate_correction import reference_wells
from morphoclip.wells.assemble import Wells


def embed_with(trained: TrainedModel, wells: Wells, *, batch_size: int, device: str) -> Embeddings:
    """Embeddings of wells by a trained model, with the offsets of the plates that it has seen.

    Raises:
        InputError: Their features were made differently from those of the training.
    """
    trained.require_fits(wells)
    device = resolve_device(device)
    return embed_with_parts(trained, wells, batch_size=batch_size, device=device)


def well_profiles(
    embedded: Embeddings, wells: Wells, model_digest: str, well_quality: pd.DataFrame | None
) -> pd.DataFrame:
    """``Metadata_*`` columns of the wells, then ``embedding_000`` and so on, one row per well.

    ``Metadata_reference`` marks the half of the negative controls that plates are normalised by,
    ``Metadata_quality`` says what is wrong with a well's images (nothing where they were not
    looked at), ``Metadata_model`` names the weights that made the profiles.
    """
    metadata = with_quality(wells.table, well_quality).assign(**{MODEL: model_digest})
    columns = dimension_names(*embedded.widths)
    return pd.concat([metadata, pd.DataFrame(embedded.image, columns=columns)], axis=1)


def prompt_embeddings(embedded: Embeddings, wells: Wells) -> pd.DataFrame:
    """The digest of each distinct prompt and its embedding."""
    columns = dimension_names(*embedded.widths)
    table = pd.DataFrame(embedded.text, columns=columns)
    table.insert(0, PROMPT_DIGEST, list(wells.digests))
    return table


def with_subsets(profiles: pd.DataFrame, manifest: pd.DataFrame) -> pd.DataFrame:
    """Profiles with the subset of each well, as the split manifest says it."""
    subsets = manifest.set_index([PLATE, WELL])[SUBSET]
    keys = pd.MultiIndex.from_frame(profiles[[PLATE, WELL]])
    profiles = profiles.copy(deep=False)
    position = profiles.columns.get_loc(REFERENCE)
    profiles.insert(position, SUBSET, subsets.reindex(keys).to_numpy())
    return profiles


class SubsetEmbeddings(NamedTuple):
    """A subset's wells ``(B, E)`` and texts ``(P, E)``, and which text is true of which well."""

    image: Matrix
    prompt_of_well: NDArray[np.int64]
    text: Matrix
    modality: NDArray[np.str_]
    digests: NDArray[np.str_]


def subset_embeddings(
    profiles: pd.DataFrame, prompt_embeddings: pd.DataFrame, subset: Subset
) -> SubsetEmbeddings:
    """The wells and distinct texts of a subset."""
    dimensions = embedding_columns(profiles)
    wells = profiles[profiles[SUBSET] == subset]
    codes, digests = pd.factorize(wells[PROMPT_DIGEST], sort=True)
    modality = wells.groupby(PROMPT_DIGEST)[MODALITY].first().loc[digests]
    return SubsetEmbeddings(
        wells[dimensions].to_numpy(),
        codes.astype(np.int64),
        prompt_embeddings.set_index(PROMPT_DIGEST).loc[digests, dimensions].to_numpy(),
        modality.to_numpy(dtype=str),
        np.asarray(digests, dtype=str),
    )


def with_quality(wells: pd.DataFrame, well_quality: pd.DataFrame | None) -> pd.DataFrame:
    """Wells with what says how far to trust them: whether plates lean on them, and their images."""
    keys = pd.MultiIndex.from_frame(wells[[PLATE, WELL]])
    found: Any = None
    if well_quality is not None:
        found = well_quality.set_index([PLATE, WELL])[QUALITY].reindex(keys).to_numpy()
    quality = pd.Series(found, index=wells.index, dtype="str")
    return wells.assign(**{REFERENCE: reference_wells(wells), QUALITY: quality})


def dimension_names(*widths: int) -> list[str]:
    """``embedding_000`` and so on; of several spaces ``embedding_1_000``, ``embedding_2_000``."""
    names = []
    for space, width in enumerate(widths, start=1):
        prefix = f"{EMBEDDING_PREFIX}{space}_" if len(widths) > 1 else EMBEDDING_PREFIX
        digits = len(str(width - 1))
        names += [f"{prefix}{n:0{digits}d}" for n in range(width)]
    return names
