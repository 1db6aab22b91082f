"""Figures of a run: curves, and retrieval beside chance."""

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure

_MEASURED, _CHANCE = "#3b5b92", "#c9ced6"
_SCOPE_NAMES = {
    "overall": "all texts",
    "within_modality": "own modality",
    "compound": "compound",
    "crispr": "CRISPR",
    "orf": "ORF",
}


def draw_training_curves(history: pd.DataFrame) -> Figure:
    """Losses, and retrieval on validation perturbations, by epoch."""
    figure = Figure(figsize=(8, 2.8), layout="constrained")
    losses, retrieval = figure.subplots(1, 2)
    losses.plot(history["epoch"], history["train_loss"], color=_MEASURED, label="train")
    losses.plot(history["epoch"], history["validation_loss"], color="#d08a3c", label="validation")
    losses.set(xlabel="epoch", ylabel="loss (nats)")
    losses.legend(frameon=False)
    mrr = history["validation_mrr_within_modality"]
    retrieval.plot(history["epoch"], mrr, color=_MEASURED)
    best = history.loc[history["is_best"], "epoch"].item()
    for axes in (losses, retrieval):
        axes.axvline(best, color="#999999", linewidth=0.8, linestyle=":")
        _plain(axes)
    retrieval.set(xlabel="epoch", ylabel="validation MRR,\nown modality", ylim=(0, 1))
    return figure


def draw_retrieval(metrics: pd.DataFrame) -> Figure:
    """Perturbation-level image-to-text retrieval of the test subset, beside chance."""
    rows = metrics.query(
        "subset == 'test' and level == 'perturbation' and direction == 'image_to_text'"
    )
    names = {"mrr": "mean reciprocal rank", "recall@1": "recall@1", "recall@5": "recall@5"}
    figure = Figure(figsize=(8, 3.2), layout="constrained")
    for axes, (metric, name) in zip(figure.subplots(1, 3), names.items(), strict=True):
        chosen = rows[rows["metric"] == metric]
        places = range(len(chosen))
        axes.barh(places, chosen["value"], color=_MEASURED, height=0.6, label="model")
        axes.barh(places, chosen["chance"], color=_CHANCE, height=0.25, label="chance")
        axes.set(title=name, xlim=(0, 1), yticks=list(places))
        axes.set_yticklabels([_SCOPE_NAMES[scope] for scope in chosen["scope"]])
        axes.invert_yaxis()
        _plain(axes)
    handles, labels = axes.get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside lower center", ncols=2, frameon=False)
    return figure


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)
