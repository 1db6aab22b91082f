"""Average precision as copairs computes it, by the list of all pairs."""

import logging

import numpy as np
import pandas as pd
from copairs.map import average_precision, multilabel


def average_precisions(
    table: pd.DataFrame,
    matrix: np.ndarray,
    *,
    distance: str = "cosine",
    labels: str | None = None,
    **keys: list[str],
) -> pd.DataFrame:
    """Average precision of each row of ``table``, whose profiles are ``matrix`` ``(N, E)``.

    Args:
        table: What ``keys`` name; nothing else, as copairs copies it.
        matrix: Profiles.
        distance: copairs' name of it.
        labels: A column of lists, any of which may be shared.
        keys: copairs' ``pos_sameby``, ``pos_diffby``, ``neg_sameby`` and ``neg_diffby``.
    """
    logging.getLogger("copairs").setLevel(logging.ERROR)
    arguments = {**keys, "distance": distance, "progress_bar": False}
    meta = table.reset_index(drop=True)
    features = np.ascontiguousarray(matrix, dtype=np.float32)
    if labels is None:
        scores = average_precision(meta, features, **arguments)
    else:
        scores = multilabel.average_precision(meta, features, multilabel_col=labels, **arguments)
    return scores.dropna(subset=["average_precision"])
