"""All wells as points of a map."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pandas as pd

from morphoclip.columns import CONDITION, PLATE, ROLE, WELL
from morphoclip.evaluation.treatments import MECHANISMS, NAME
from morphoclip.explore.data import ExploreData
from morphoclip.explore.plate_map import colours_of_names
from morphoclip.perturbations.well_index import readable_condition

MAP_COLUMNS: dict[str, Callable[[ExploreData, np.ndarray], pd.Series]] = {
    "condition": lambda data, rows: data.index.wells[CONDITION].iloc[rows].map(readable_condition),
    "mechanism": lambda data, rows: data.index.facts_of(rows)[MECHANISMS].str[0],
    "plate": lambda data, rows: data.index.wells[PLATE].iloc[rows],
    "role": lambda data, rows: data.index.wells[ROLE].iloc[rows],
}


def map_page(data: ExploreData, by: str, axes: str) -> dict[str, Any]:
    """The frame of the map."""
    chosen = by if by in MAP_COLUMNS else "condition"
    names = ["components", "umap"] if data.umap else ["components"]
    own = axes if axes in names else names[0]
    return {"by": chosen, "columns": list(MAP_COLUMNS), "axes": own, "all_axes": names}


def map_points(data: ExploreData, by: str, axes: str) -> dict[str, Any]:
    """Wells as points by two principal components or a UMAP, at most 20,000."""
    chosen = by if by in MAP_COLUMNS else "condition"
    found = data.umap if axes == "umap" else None
    rows, places, words = found or data.components
    values = MAP_COLUMNS[chosen](data, rows)
    names = [str(value) if isinstance(value, str) else "" for value in values]
    labels = data.index.labels_of(rows)
    return {
        "by": chosen,
        "words": words,
        "x": places[:, 0].round(4).tolist(),
        "y": places[:, 1].round(4).tolist(),
        "value": names,
        "colours": colours_of_names([name for name in names if name]),
        "plate": labels[PLATE].tolist(),
        "well": labels[WELL].tolist(),
        "name": labels[NAME].fillna("").tolist(),
        "n_all": len(data.index.wells),
    }
