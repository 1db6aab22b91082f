"""The CPJUMP1 benchmark: replicability, matching, gene-compound pairs."""

from collections.abc import Mapping
from typing import Any

import pandas as pd

from morphoclip.columns import Subset
from morphoclip.report.figures import draw_benchmark, rows_of_stratum
from morphoclip.report.rendering import Section, records, render


def replicability_section(
    benchmark_metrics: pd.DataFrame,
    prompt_summary: Mapping[str, Any],
    split_record: Mapping[str, Any],
) -> Section:
    """Mean average precision by task and track, and why some numbers should not be trusted."""
    trained_on = {"level": prompt_summary["level"], "strategy": split_record["strategy"]}
    return _section(benchmark_metrics, Subset.TEST, trained_on)


def plate_replicability_section(plate_benchmark_metrics: pd.DataFrame) -> Section:
    """The same of profiles that no model made: no text was read, and no split was needed."""
    return _section(plate_benchmark_metrics, "all", None)


def _section(
    benchmark_metrics: pd.DataFrame, stratum: str, trained_on: Mapping[str, Any] | None
) -> Section:
    figure = draw_benchmark(benchmark_metrics, stratum)
    html = render(
        "replicability",
        trained_on=trained_on,
        flags=flag_counts(benchmark_metrics),
        test_rows=records(rows_of_stratum(benchmark_metrics, stratum)) if trained_on else [],
        all_rows=records(benchmark_metrics),
        figure=figure,
    )
    name = "benchmark_figure" if trained_on else "plate_benchmark_figure"
    return Section("Replicability and matching", html, {name: figure})


def flag_counts(benchmark_metrics: pd.DataFrame) -> dict[str, int]:
    """Why numbers of the benchmark should not be read as they stand, and of how many rows."""
    counts = benchmark_metrics["flag"].value_counts()
    return {str(flag): int(n) for flag, n in counts.items()}
