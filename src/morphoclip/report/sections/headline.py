"""The numbers to look at first."""

import numpy as np
import pandas as pd

from morphoclip.columns import Subset
from morphoclip.evaluation.baseline_comparison import single_split_sentence
from morphoclip.evaluation.held_out_retrieval import FEWEST_PERTURBATIONS, headline_metrics
from morphoclip.report.figures import draw_retrieval
from morphoclip.report.rendering import Section, render


def headline_section(
    retrieval_metrics: pd.DataFrame,
    permutation_test: pd.DataFrame,
    baseline_comparison: pd.DataFrame,
    leakage_report: pd.DataFrame,
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
        comparison=single_split_sentence(baseline_comparison),
        figure=figure,
        fewest=FEWEST_PERTURBATIONS,
        seen=texts_seen_in_training(leakage_report),
    )
    return Section("", html, {"retrieval_figure": figure})


def texts_seen_in_training(leakage_report: pd.DataFrame) -> int:
    """How many texts of test wells the model has read in training, as where plates are held out."""
    pairs = [set(pair) for pair in leakage_report[["subset", "other_subset"]].to_numpy()]
    train_and_test = np.array([pair == {Subset.TRAIN, Subset.TEST} for pair in pairs], dtype=bool)
    rows = leakage_report[train_and_test & (leakage_report["what"] == "prompt")]
    return int(rows["shared"].sum())
