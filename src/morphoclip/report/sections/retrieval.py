"""Retrieval of held-out wells and perturbations, in both directions."""

from typing import Any

import pandas as pd

from morphoclip.evaluation.held_out_retrieval import headline_metrics
from morphoclip.report.rendering import Section, records, render


def retrieval_section(retrieval_metrics: pd.DataFrame, permutation_test: pd.DataFrame) -> Section:
    """All numbers beside chance and the modality oracle, and the permutation test."""
    html = render(
        "retrieval",
        headline=rows_with_metrics(headline_metrics(retrieval_metrics)),
        all_rows=rows_with_metrics(retrieval_metrics),
        permutation=records(permutation_test),
    )
    return Section("Retrieval", html)


def rows_with_metrics(retrieval: pd.DataFrame) -> list[dict[str, Any]]:
    """One row per subset, scope, level and direction, with all its metrics."""
    keys = ["subset", "level", "direction", "scope", "n_queries", "n_candidates"]
    rows = []
    for key, group in retrieval.groupby(keys, sort=False):
        metrics = group.set_index("metric")[["value", "chance", "modality_oracle"]]
        rows.append(dict(zip(keys, key, strict=True)) | {"metrics": metrics.to_dict("index")})
    return rows
