"""Figures of a run: curves, and retrieval beside chance."""

import numpy as np
import pandas as pd
from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.figure import Figure

from morphoclip.columns import PLATE, ROLE
from morphoclip.evaluation.baseline_comparison import headline_comparison
from morphoclip.evaluation.held_out_retrieval import headline_metrics
from morphoclip.evaluation.per_perturbation import MODEL_METHOD
from morphoclip.perturbations.well_index import readable_condition

_MEASURED, _CHANCE = "#3b5b92", "#c9ced6"
_PROFILE_COLOURS = {
    "cell count": "#d9a441",
    "untrained backbone": "#c9ced6",
    "input features": "#8b95a3",
    "trained model": _MEASURED,
}
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
    names = {"train_loss": "train", "validation_loss": "validation"}
    for training, rows in history.groupby("training", sort=False):
        is_member = str(training).startswith("member")
        first = training == "member 1"
        if is_member:
            for column, color in (("train_loss", _MEASURED), ("validation_loss", "#d08a3c")):
                label = names[column] if first and rows[column].notna().any() else None
                losses.plot(rows["epoch"], rows[column], color=color, label=label)
        style = {"color": _MEASURED} if is_member else {"color": "#bbbbbb", "linewidth": 0.8}
        retrieval.plot(rows["epoch"], rows["validation_mrr_within_modality"], **style)
    losses.set(xlabel="epoch", ylabel="loss (nats)")
    losses.legend(frameon=False)
    is_member = history["training"].str.startswith("member")
    for axes in (losses, retrieval):
        for best in history.loc[history["is_best"] & is_member, "epoch"].unique():
            axes.axvline(best, color="#999999", linewidth=0.8, linestyle=":")
        _plain(axes)
    retrieval.set(xlabel="epoch", ylabel="validation MRR,\nown modality", ylim=(0, 1))
    return figure


def draw_retrieval(metrics: pd.DataFrame) -> Figure:
    """Perturbation-level image-to-text retrieval of the test subset, beside chance."""
    rows = headline_metrics(metrics)
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


def _note(text: str) -> Figure:
    """A figure that says why there is nothing to draw."""
    figure = Figure(figsize=(8, 1), layout="constrained")
    axes = figure.subplots()
    axes.axis("off")
    axes.text(0.5, 0.5, text, ha="center", va="center", color="#5d6b7a")
    return figure


def _plain(axes: Axes) -> None:
    axes.spines[["top", "right"]].set_visible(False)


def draw_baseline_comparison(comparison: pd.DataFrame) -> Figure:
    """MRR within modality of the model and of each baseline, with 95 % intervals, over chance."""
    rows = headline_comparison(comparison).iloc[::-1].reset_index(drop=True)
    figure = Figure(figsize=(8, 0.36 * len(rows) + 0.9), layout="constrained")
    axes = figure.subplots()
    for place, row in rows.iterrows():
        colour = _MEASURED if row["method"] == MODEL_METHOD else "#8b95a3"
        axes.plot([row["ci_low"], row["ci_high"]], [place, place], color=colour, linewidth=1.6)
        axes.plot([row["value"]], [place], "o", color=colour)
    axes.axvline(rows["chance"].iloc[0], color="#999999", linewidth=0.8, linestyle=":")
    axes.set_yticks(range(len(rows)), [name.replace("_", " ") for name in rows["method"]])
    axes.set(
        xlabel="held-out MRR of both directions, own modality (dotted: chance)", xlim=(0, None)
    )
    _plain(axes)
    return figure


def draw_benchmark(metrics: pd.DataFrame, stratum: str) -> Figure:
    """Mean average precision by task and track, of the model and without it, over chance."""
    keys = ["task", "track"]
    rows = rows_of_stratum(metrics, stratum).dropna(subset=["mean_average_precision"])
    tracks = [tuple(row) for row in rows[keys].drop_duplicates().to_numpy()]
    if not tracks:
        return _note(f"no group of {stratum} perturbations could be scored")
    figure = Figure(figsize=(8, 0.42 * len(tracks) + 1.0), layout="constrained")
    axes = figure.subplots()
    for name, colour in _PROFILE_COLOURS.items():
        of_profiles = rows[rows["profiles"] == name]
        if of_profiles.empty:
            continue
        places = [tracks.index(tuple(key)) for key in of_profiles[keys].to_numpy()]
        axes.plot(of_profiles["mean_average_precision"], places, "o", color=colour, label=name)
    beside = rows.dropna(subset=["same_position"])
    for name, colour in _PROFILE_COLOURS.items():
        of_profiles = beside[beside["profiles"] == name]
        places = [tracks.index(tuple(key)) for key in of_profiles[keys].to_numpy()]
        axes.plot(of_profiles["same_position"], places, "x", color=colour, markersize=5)
    if len(beside):
        axes.plot([], [], "x", color="#555555", markersize=5, label="controls at one position")
    places = [tracks.index(tuple(key)) for key in rows[keys].to_numpy()]
    axes.plot(rows["chance"], places, "|", color="#999999", markersize=13, label="chance")
    labels = [f"{task.replace('_', ' ')}\n{readable_condition(track)}" for task, track in tracks]
    axes.set_yticks(range(len(tracks)), labels, fontsize=7)
    axes.set(xlabel=f"mean average precision, {stratum} perturbations", xlim=(0, 1.02))
    axes.invert_yaxis()
    axes.legend(frameon=False, fontsize=8, loc="lower center", bbox_to_anchor=(0.4, 1), ncols=3)
    _plain(axes)
    return figure


def rows_of_stratum(metrics: pd.DataFrame, stratum: str) -> pd.DataFrame:
    """Rows about the perturbations of a stratum; of controls, which are in no subset, all."""
    of_controls = metrics["task"] == "same_position_controls"
    return metrics[(metrics["stratum"] == stratum) | of_controls]


def draw_projection(profiles: pd.DataFrame, columns: list[str]) -> Figure:
    """The first two principal components of all profiles, by modality and by plate."""
    matrix = profiles[columns].to_numpy(dtype=float)
    centred = matrix - matrix.mean(axis=0)
    _, _, axes_of_variance = np.linalg.svd(centred, full_matrices=False)
    points = centred @ axes_of_variance[:2].T
    figure = Figure(figsize=(8, 3.4), layout="constrained")
    for axes, column, name in zip(
        figure.subplots(1, 2), (ROLE, PLATE), ("role", "plate"), strict=True
    ):
        groups = profiles[column].to_numpy(dtype=str)
        names = sorted(set(groups))
        colours = colormaps["tab10" if len(names) <= 10 else "turbo"]
        for number, group in enumerate(names):
            in_group = groups == group
            shade = colours(number if len(names) <= 10 else number / (len(names) - 1))
            axes.scatter(*points[in_group].T, s=5, color=shade, label=group, linewidths=0)
        axes.set(title=f"profiles by {name}", xticks=[], yticks=[])
        axes.set_xlabel("first component")
        axes.set_ylabel("second component")
        if len(names) <= 10:
            axes.legend(
                frameon=False, fontsize=7, markerscale=2, loc="upper left", bbox_to_anchor=(1, 1)
            )
        _plain(axes)
    return figure
