"""The numbers to look at first."""

import pandas as pd

from morphoclip.columns import Subset
from morphoclip.evaluation.baseline_comparison import comparison_sentence
from morphoclip.evaluation.held_out_retrieval import headline_metrics
from morphoclip.report.figures import draw_retrieval
from morphoclip.report.rendering import Section, render


def headline_section(
    retrieval_metrics: pd.DataFrame,
    permutation_test: pd.DataFrame,
    baseline_comparison: pd.DataFrame,
) -> Section:
    """Retrieval of test perturbations within their modality, beside chance and the baselines."""
    rows = headline_metrics(retrieval_metrics)
    within = rows[rows["scope"] == "within_modality"].set_index("metric").to_dict("index")
    of_test = permutation_test[permutation_test["subset"] == Subset.TEST]
    figure = draw_retrieval(retrieval_metrics)
    html = render(
        "headline",
        mrr=within["mrr"],
        recall=within["recall@1"],
        test=of_test.to_dict("records")[0],
        comparison=comparison_sentence(baseline_comparison),
        figure=figure,
    )
    return Section("", html, {"retrieval_figure": figure})
