"""The model beside simpler methods."""

from typing import Any

import pandas as pd

from morphoclip.evaluation.baseline_comparison import headline_comparison
from morphoclip.evaluation.per_perturbation import MODEL_METHOD
from morphoclip.report.figures import draw_baseline_comparison
from morphoclip.report.rendering import Section, records, render


def baselines_section(baseline_comparison: pd.DataFrame) -> Section:
    """MRR and recall@1 within the modality, the best method first."""
    figure = draw_baseline_comparison(baseline_comparison)
    html = render("baselines", methods=method_rows(baseline_comparison), figure=figure)
    return Section("Baselines", html, {"baseline_comparison_figure": figure})


def method_rows(baseline_comparison: pd.DataFrame) -> list[dict[str, Any]]:
    """MRR within the modality with its interval, each direction's, and recall@1 beside it."""
    in_scope = (baseline_comparison[["scope", "direction"]] == ["within_modality", "both"]).all(
        axis=1
    )
    within = baseline_comparison[in_scope]
    recall = within[within["metric"] == "recall@1"].set_index("method")["value"]
    rows = headline_comparison(baseline_comparison)
    is_model = rows["method"] == MODEL_METHOD
    return records(rows.assign(recall=rows["method"].map(recall), is_model=is_model))
