"""Cells against the base cell: paired differences over perturbations, and what they say."""

import numpy as np
import pandas as pd
from matplotlib.figure import Figure

from morphoclip.ablation.cells import BASE
from morphoclip.columns import BROAD_SAMPLE, MODALITY, PROMPT_DIGEST
from morphoclip.metrics.bootstrap import Bootstrap, drawn_sums, interval_95, resampling_counts
from morphoclip.schemas.evaluation import ABLATION_METRICS

_PERTURBATION = [MODALITY, BROAD_SAMPLE]


def compare_cells(
    cells: list[tuple[str, str, pd.DataFrame]], prompts: pd.DataFrame, bootstrap: Bootstrap
) -> pd.DataFrame:
    """One row per cell: MRR beside chance, and its difference from the base cell.

    A perturbation's value is its mean over seeds and folds, and over all IDs that have one prompt
    in the base cell: the guides of a gene are one perturbation. Where a cell ranks other candidates
    than the base (another split, other prompts), what is compared is MRR above chance.

    Args:
        cells: Parameter, value and rows of all trainings of each cell, the base cell first.
        prompts: Those of the base cell, one row per ID.
        bootstrap: Draws of perturbations; the same for both sides of a difference.
    """
    unit_of = prompts.drop_duplicates(_PERTURBATION).set_index(_PERTURBATION)[PROMPT_DIGEST]
    base = _per_perturbation(cells[0][2], unit_of)
    rows = []
    for parameter, value, trainings in cells:
        own = _per_perturbation(trainings, unit_of)
        both = own.join(base.add_suffix("_base"), how="inner")
        alike = len(both) == len(own) == len(base) and bool(
            (both["n_candidates"] == both["n_candidates_base"]).all()
        )
        difference = both["mrr"] - both["mrr_base"]
        if not alike:
            difference -= both["mrr_chance"] - both["mrr_chance_base"]
        low, high = _interval(own["mrr"], bootstrap)
        is_compared = parameter != BASE and len(both) > 0
        of_difference = _interval(difference, bootstrap) if is_compared else (np.nan, np.nan)
        of_seeds = trainings.groupby("seed")["mrr"].mean()
        per_training = trainings.groupby(["fold", "seed"])["seconds"].first()
        rows.append(
            {
                "parameter": parameter,
                "value": value,
                "mrr": own["mrr"].mean(),
                "ci_low": low,
                "ci_high": high,
                "chance": own["mrr_chance"].mean(),
                "difference": difference.mean() if is_compared else np.nan,
                "difference_low": of_difference[0],
                "difference_high": of_difference[1],
                "same_candidates": alike,
                "sd_over_seeds": of_seeds.std(),
                "n_perturbations": len(own),
                "n_compared": len(both),
                "n_seeds": len(of_seeds),
                "n_trainings": len(per_training),
                "seconds": per_training.sum(),
            }
        )
        rows[-1]["finding"] = finding(rows[-1])
    return pd.DataFrame(rows)[list(ABLATION_METRICS.columns)]


def _per_perturbation(trainings: pd.DataFrame, unit_of: pd.Series) -> pd.DataFrame:
    columns = ["mrr", "mrr_chance", "n_candidates"]
    of_ids = trainings.groupby(_PERTURBATION)[columns].mean()
    return of_ids.groupby(unit_of.reindex(of_ids.index).to_numpy()).mean()


def _interval(values: pd.Series, bootstrap: Bootstrap) -> tuple[float, float]:
    counts = resampling_counts(len(values), bootstrap)
    return interval_95(drawn_sums(counts, values.to_numpy()) / len(values))


def finding(row: dict[str, object]) -> str:
    """Whether a cell's difference from the base exceeds the noise, in words."""
    if row["parameter"] == BASE:
        return "The parameters as they are; the other rows are compared with this one."
    if row["n_compared"] == 0:
        return "No perturbation was held out both here and in the base cell: not comparable."
    low, high = float(str(row["difference_low"])), float(str(row["difference_high"]))
    what = "MRR" if row["same_candidates"] else "MRR above chance (it ranks other candidates)"
    if low > 0:
        return f"{what} is higher than in the base cell by more than the noise."
    if high < 0:
        return f"{what} is lower than in the base cell by more than the noise."
    return f"The difference in {what} does not exceed the noise."


def expected_by_luck(metrics: pd.DataFrame) -> str:
    """How many of the rows would exceed the noise if nothing had an effect."""
    compared = metrics["difference"].notna()
    beyond = (metrics["difference_low"] > 0) | (metrics["difference_high"] < 0)
    return (
        f"{int(beyond.sum())} of {int(compared.sum())} differences exceed the noise; "
        f"{0.05 * compared.sum():.1f} would if nothing had an effect (95 % intervals, paired, over "
        "perturbations)."
    )


def draw_ablation(metrics: pd.DataFrame, grid: str) -> Figure:
    """Differences from the base cell with their intervals, one row per cell."""
    rows = metrics[metrics["difference"].notna()]
    figure = Figure(figsize=(8, 1.6 + 0.34 * max(len(rows), 1)), layout="constrained")
    axes = figure.subplots()
    places = np.arange(len(rows))
    beyond = ((rows["difference_low"] > 0) | (rows["difference_high"] < 0)).to_numpy()
    for mask, colour, name in (
        (beyond, "#3b5b92", "exceeds the noise"),
        (~beyond, "#9aa3b2", "does not"),
    ):
        chosen = rows[mask]
        spread = [
            chosen["difference"] - chosen["difference_low"],
            chosen["difference_high"] - chosen["difference"],
        ]
        axes.errorbar(
            chosen["difference"],
            places[mask],
            xerr=spread,
            fmt="o",
            color=colour,
            capsize=3,
            label=name,
        )
    axes.axvline(0, color="#555555", linewidth=0.8)
    axes.set_yticks(places)
    axes.set_yticklabels([f"{row.parameter}: {row.value}" for row in rows.itertuples()])
    axes.invert_yaxis()
    base = metrics.iloc[0]
    figure.supxlabel(
        "difference in MRR from the base cell, 95 % interval over perturbations", fontsize=10
    )
    figure.suptitle(  # over the whole width: long names of cells leave the axes little
        f"grid {grid}: base MRR {base['mrr']:.3f}, chance {base['chance']:.3f}, "
        f"{base['n_perturbations']} perturbations, {base['n_seeds']} seed(s)",
        fontsize=10, x=0.01, ha="left",
    )  # fmt: skip
    axes.spines[["top", "right"]].set_visible(False)
    if len(rows):
        axes.legend(frameon=False, loc="best")
    return figure
