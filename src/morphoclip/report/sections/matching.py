"""Profiles against profiles: distance to controls, identification, gene matching."""

from typing import Any

import pandas as pd

from morphoclip.columns import Subset
from morphoclip.report.rendering import Section, records, render


def matching_section(matching_metrics: pd.DataFrame) -> Section:
    """All matching metrics, those of test perturbations first."""
    of_test = matching_metrics[matching_metrics["stratum"] == Subset.TEST]
    html = render(
        "matching",
        test_rows=rows_with_metrics(of_test),
        all_rows=rows_with_metrics(matching_metrics),
    )
    return Section("Comparing profiles", html)


def rows_with_metrics(matching: pd.DataFrame) -> list[dict[str, Any]]:
    """One row per task, track and stratum, with all its metrics."""
    keys = ["task", "track", "stratum", "n"]
    return [
        dict(zip(keys, key, strict=True)) | {"metrics": records(rows)}
        for key, rows in matching.groupby(keys, sort=False)
    ]
