"""Plates of one layout, and profiles without anything in them, for tests of profile metrics."""

import numpy as np
import pandas as pd

from morphoclip.columns import (
    BROAD_SAMPLE,
    CELL_TYPE,
    CONDITION,
    GENE,
    MODALITY,
    PLATE,
    QUALITY,
    REFERENCE,
    ROLE,
    SUBSET,
    TARGET_LIST,
    WELL,
)


def layout(
    n_plates: int = 4, n_treatments: int = 40, n_controls: int = 32, modality: str = "compound"
) -> pd.DataFrame:
    """Replicate plates of one layout; controls are not marked as a reference."""
    rows = []
    for plate in range(n_plates):
        for well in range(n_treatments + n_controls):
            control = well >= n_treatments
            rows.append(
                {
                    PLATE: f"{modality}{plate}",
                    WELL: f"{chr(65 + well // 24)}{well % 24 + 1:02d}",
                    MODALITY: modality,
                    CONDITION: f"{modality}|U2OS",
                    CELL_TYPE: "U2OS",
                    ROLE: "negcon" if control else "trt",
                    BROAD_SAMPLE: "DMSO" if control else f"{modality}-{well}",
                    GENE: None if control else f"G{well // 2}",
                    TARGET_LIST: None,
                    SUBSET: "excluded" if control else ("test" if well % 2 else "train"),
                    REFERENCE: False,
                    QUALITY: None,
                }
            )
    return pd.DataFrame(rows)


def noise(table: pd.DataFrame, seed: int = 0, dim: int = 16) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((len(table), dim))
