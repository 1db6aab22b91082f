"""What the wells of a plate map are coloured by."""

import numpy as np
import pandas as pd

from morphoclip.columns import CONDITION, PLATE, WELL
from morphoclip.explore.data import ExploreData
from morphoclip.metrics.matrix import unit_rows
from morphoclip.perturbations.well_index import readable_condition
from morphoclip.search.top_k import similarities

SIMILARITY = "similarity to controls"


def column_of(data: ExploreData, rows: np.ndarray, name: str) -> pd.Series:
    """What a plate map is coloured by, of these wells ``(N,)``."""
    wells = data.index.wells.iloc[rows]
    if name == SIMILARITY:
        code = int(data.index.condition_codes[rows[0]])
        controls = data.index.profiles[data.index.controls[code]]
        if not len(controls):
            return pd.Series(np.full(len(rows), np.nan))
        mean = unit_rows(controls.mean(axis=0, dtype=np.float64)[None])
        return pd.Series(similarities(mean, data.index.profiles[rows])[0].astype(float))
    if name in data.measured:
        keys = pd.MultiIndex.from_frame(wells[[PLATE, WELL]])
        return pd.Series(data.measured[name].reindex(keys).to_numpy(dtype=float))
    values = wells[name].reset_index(drop=True)
    return values.map(readable_condition) if name == CONDITION else values
