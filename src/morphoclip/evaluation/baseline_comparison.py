"""The trained model and the baselines on the same perturbations, with paired differences."""

import pandas as pd

from morphoclip.columns import MODALITY, PROMPT_DIGEST
from morphoclip.evaluation.per_perturbation import METRICS, MODEL_METHOD
from morphoclip.metrics.bootstrap import Bootstrap, compare_means
from morphoclip.schemas.evaluation import BASELINE_COMPARISON


def compare_methods(per_perturbation: pd.DataFrame, bootstrap: Bootstrap) -> pd.DataFrame:
    """Means over perturbations with 95 % bootstrap intervals, and differences to the model.

    A perturbation's value is its mean over repeats (assignments to folds, and seeds of trainings in
    each), and for ``both`` over the two directions; ``sd_over_repeats`` is that of their means.
    ``difference`` is method minus model, over the
    same draws of perturbations.
    """
    rows = []
    for scope in ("within_modality", *sorted(per_perturbation[MODALITY].unique())):
        chosen = per_perturbation
        if scope != "within_modality":
            chosen = per_perturbation[per_perturbation[MODALITY] == scope]
        directions = {"both": chosen} | dict(list(chosen.groupby("direction")))
        for direction, ranked in directions.items():
            for metric in METRICS:
                summaries = _summaries(ranked, metric, bootstrap)
                rows += [{"scope": scope, "direction": direction, **row} for row in summaries]
    return pd.DataFrame(rows)[list(BASELINE_COMPARISON.columns)]


def _summaries(
    per_perturbation: pd.DataFrame, metric: str, bootstrap: Bootstrap
) -> list[dict[str, object]]:
    values = per_perturbation.pivot_table(metric, PROMPT_DIGEST, "method", aggfunc="mean")
    chance = per_perturbation.groupby(PROMPT_DIGEST)[f"{metric}_chance"].mean().mean()
    repeats = per_perturbation.groupby(["method", "split_seed", "seed"])[metric].mean()
    of_repeats = repeats.groupby("method").agg(["std", "size"])
    summaries = []
    for method, row in compare_means(values, MODEL_METHOD, bootstrap).iterrows():
        beside = {
            "metric": metric,
            "method": method,
            "chance": chance,
            "sd_over_repeats": of_repeats.loc[method, "std"],
            "n_perturbations": len(values),
            "n_repeats": of_repeats.loc[method, "size"],
        }
        summaries.append(beside | row.to_dict())
    return summaries


def headline_comparison(comparison: pd.DataFrame) -> pd.DataFrame:
    """MRR within the modality over both directions, the best method first.

    ``image_to_text`` and ``text_to_image`` hold each direction's own.
    """
    rows = comparison[(comparison["scope"] == "within_modality") & (comparison["metric"] == "mrr")]
    by_direction = rows.pivot_table("value", "method", "direction")
    both = rows[rows["direction"] == "both"].set_index("method")
    both[["image_to_text", "text_to_image"]] = by_direction[["image_to_text", "text_to_image"]]
    return both.reset_index().sort_values("value", ascending=False, ignore_index=True)


def single_split_sentence(comparison: pd.DataFrame) -> str:
    """What one split and one seed say of the model beside the strongest other method.

    Which of two close methods comes first changes from split to split, so that no verdict is given.
    """
    rows = headline_comparison(comparison)
    model = rows[rows["method"] == MODEL_METHOD].iloc[0]
    others = rows[rows["method"] != MODEL_METHOD].dropna(subset=["difference_low"])
    if others.empty:
        return "No other method ranked the same perturbations."
    best = others.iloc[0]
    name = str(best["method"]).replace("_", " ")
    return (
        f"One split of {model['n_perturbations']} perturbations does not rank methods. Here the "
        f"trained model has a held-out MRR (mean of both directions) of {model['value']:.3f} and "
        f"{name}, the strongest of "
        f"{len(others)} other methods, {best['value']:.3f}; the model's lead of "
        f"{-best['difference']:+.3f} has a 95 % interval from {-best['difference_high']:+.3f} to "
        f"{-best['difference_low']:+.3f}. cross_validation holds out every perturbation once."
    )


def comparison_sentence(comparison: pd.DataFrame) -> str:
    """Which methods the model leads and trails, significantly or not.

    A method that did not rank all of the perturbations cannot be compared.
    """
    others = headline_comparison(comparison).set_index("method").drop(index=MODEL_METHOD)
    difference = others["difference"]
    unknown = others[["difference_low", "difference_high"]].isna().any(axis=1)
    leads, trails = others["difference_high"] < 0, others["difference_low"] > 0
    even = ~leads & ~trails & ~unknown
    groups = (
        ("leads {} significantly", leads),
        ("leads {}, but not significantly", even & (difference < 0)),
        ("does not differ from {}", even & (difference == 0)),
        ("trails {}, but not significantly", even & (difference > 0)),
        ("trails {} significantly", trails),
        ("cannot be compared with {}", unknown),
    )
    if others.empty:
        return "No other method ranked the same perturbations."
    clauses = [text.format(_listed(others.index[rows])) for text, rows in groups if rows.any()]
    return (
        f"In held-out MRR over both directions the trained model {'; it '.join(clauses)} (95 % "
        "intervals of paired differences over perturbations)."
    )


def _listed(methods: pd.Index) -> str:
    names = sorted(str(name).replace("_", " ") for name in methods)
    return ", ".join([*names[:-2], " and ".join(names[-2:])])
