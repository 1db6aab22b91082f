"""The CPJUMP1 benchmark: replicability, matching, gene-compound pairs."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from morphoclip.report.figures import draw_benchmark, rows_of_test_or_controls
from morphoclip.report.rendering import Section, records, render


def replicability_section(
    benchmark_metrics: pd.DataFrame,
    prompt_summary: Mapping[str, Any],
    split_record: Mapping[str, Any],
) -> Section:
    """Mean average precision by task and track, and why some numbers should not be trusted."""
    test_rows = rows_of_test_or_controls(benchmark_metrics)
    figure = draw_benchmark(benchmark_metrics)
    html = render(
        "replicability",
        level=prompt_summary["level"],
        strategy=split_record["strategy"],
        flags=flag_counts(benchmark_metrics),
        test_rows=records(test_rows),
        all_rows=records(benchmark_metrics),
        figure=figure,
    )
    return Section("Replicability and matching", html, {"benchmark_figure": figure})


def flag_counts(benchmark_metrics: pd.DataFrame) -> dict[str, int]:
    """Why numbers of the benchmark should not be read as they stand, and of how many rows."""
    counts = benchmark_metrics["flag"].value_counts()
    return {str(flag): int(n) for flag, n in counts.items()}
