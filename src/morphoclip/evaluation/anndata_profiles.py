"""Profiles as AnnData, which scanpy and its kin read; and their consensus per treatment."""

from typing import Any, NamedTuple

import numpy as np
import pandas as pd

from morphoclip.columns import (
    BROAD_SAMPLE,
    CONDITION,
    MODALITY,
    N_WELLS,
    PLATE,
    ROLE,
    WELL,
    Role,
    embedding_columns,
    embeddings,
)
from morphoclip.evaluation.config import EvaluationConfig
from morphoclip.metrics.matrix import Matrix

_FEWEST_FOR_A_MAP = 4
_NEIGHBOURS = 15


def consensus_profiles(profiles: pd.DataFrame) -> pd.DataFrame:
    """The median over wells of each treatment in each condition, empty wells left out.

    Of ``Metadata_*`` columns those stay that are the same in all wells of every treatment;
    ``Metadata_n_wells`` counts the wells.
    """
    wells = profiles[profiles[ROLE] != Role.EMPTY]
    dimensions = embedding_columns(wells)
    keys = [CONDITION, MODALITY, BROAD_SAMPLE]
    groups = wells.groupby(keys)
    others = [name for name in wells if name not in {*dimensions, *keys, PLATE, WELL}]
    shared = [name for name in others if groups[name].nunique().max() <= 1]
    facts = groups[shared].first().assign(**{N_WELLS: groups.size()})
    return facts.join(groups[dimensions].median()).reset_index()


class AnnDataTables(NamedTuple):
    """AnnData of wells, and of the consensus of each treatment."""

    wells: Any
    consensus: Any


def wells_and_consensus(profiles: pd.DataFrame, config: EvaluationConfig) -> AnnDataTables:
    """Profiles of wells, and their consensus per treatment and condition, as AnnData."""
    return AnnDataTables(
        as_anndata(profiles, seed=config.seed),
        as_anndata(consensus_profiles(profiles), seed=config.seed),
    )


def as_anndata(profiles: pd.DataFrame, *, seed: int) -> Any:
    """Profiles of wells or treatments, with a UMAP of them in ``obsm["X_umap"]``.

    ``X`` is ``(B, E)`` float32. ``obs`` holds the columns ``Metadata_*``, text as categories, so
    that readers that know no newer kind of text can read them; rows are numbered, as pycytominer
    wants them. There is no map of fewer than four rows.
    """
    from anndata import AnnData

    dimensions = embedding_columns(profiles)
    matrix = embeddings(profiles).astype(np.float32, copy=False)
    metadata = profiles.drop(columns=dimensions)
    obs = pd.DataFrame(
        {name: _plain(metadata[name]) for name in metadata},
        index=pd.Index([str(row) for row in range(len(metadata))], dtype=object),
    )
    data = AnnData(matrix, obs=obs, var=pd.DataFrame(index=pd.Index(dimensions, dtype=object)))
    for table in (data.obs, data.var):
        table.index = table.index.astype(object)
    if len(matrix) >= _FEWEST_FOR_A_MAP:
        data.obsm["X_umap"] = umap_of(matrix, seed)
    return data


def umap_of(matrix: Matrix, seed: int) -> Matrix:
    """A map ``(B, 2)`` of profiles ``(B, E)`` by cosine, the same for the same seed.

    UMAP as McInnes et al. 2018 (arXiv:1802.03426) and their package make it.
    """
    import umap

    reducer = umap.UMAP(
        n_neighbors=min(_NEIGHBOURS, len(matrix) - 1),
        metric="cosine",
        init="pca",
        random_state=seed,
        n_jobs=1,
    )
    return np.asarray(reducer.fit_transform(matrix), dtype=np.float32)


def _plain(column: pd.Series) -> Any:
    """Numbers and truth values as they are, text as categories of plain strings."""
    if column.dtype.kind in "iufb" and not isinstance(column.dtype, pd.StringDtype):
        return column.to_numpy()
    values = [None if pd.isna(value) else str(value) for value in column]
    kinds = sorted({value for value in values if value is not None})
    return pd.Categorical(values, categories=pd.Index(kinds, dtype=object))
