"""What the page picks out of the tables of a run."""

from typing import Any

import pandas as pd

from morphoclip.report.plate_maps import draw_plate_maps
from morphoclip.schemas import (
    CHANNEL,
    MODALITY,
    N_SITES,
    PLATE,
    PROMPT,
    REASON,
    SITE,
    SUBSET,
    WELL,
    Subset,
)

_PAIRS_SHOWN = 8


def records(table: pd.DataFrame) -> list[dict[str, object]]:
    """Rows as dictionaries; missing is None."""
    return table.astype(object).where(table.notna(), None).to_dict("records")


def flags(benchmark: pd.DataFrame) -> dict[str, int]:
    """Why numbers of the benchmark should not be read as they stand, and of how many rows."""
    return {str(flag): int(n) for flag, n in benchmark["flag"].value_counts().items()}


def answers(retrieved: pd.DataFrame) -> list[dict[str, object]]:
    """Of each modality the best, the middle and the worst answered treatment, with their words."""
    shown = []
    for modality, own in retrieved.groupby(MODALITY):
        ranked = own[own["place"] == 1].sort_values(["rank_of_own", PROMPT])
        for which, row in _best_to_worst(len(ranked)):
            one = ranked.iloc[row]
            words = own[own[PROMPT] == one[PROMPT]].sort_values("place").head(3)
            shown.append(
                {
                    "modality": modality,
                    "which": which,
                    "prompt": one[PROMPT],
                    "rank": one["rank_of_own"],
                    "of": one["n_candidates"],
                    "words": words[["retrieved", "is_own"]].to_dict("records"),
                }
            )
    return shown


def strongest_pairs(look_alikes: pd.DataFrame) -> pd.DataFrame:
    """The pairs that are furthest beyond the controls, each said once."""
    one, other = (
        look_alikes[f"{prefix}condition"] + " " + look_alikes[f"{prefix}broad_sample"]
        for prefix in ("Metadata_", "other_")
    )
    in_order = one < other
    ends = pd.concat([one.where(in_order, other), other.where(in_order, one)], axis=1)
    strongest = look_alikes.dropna(subset=["z"]).sort_values("z", ascending=False)
    return strongest[~ends.loc[strongest.index].duplicated()].head(_PAIRS_SHOWN)


def _best_to_worst(number: int) -> tuple[tuple[str, int], ...]:
    return (("best", 0), ("middle", number // 2), ("worst", number - 1))


def held_out_targets(target_genes: pd.DataFrame) -> pd.DataFrame:
    """Held-out compounds and their targets, the most similar first; 0.5 is a random ``share``."""
    held_out = target_genes[target_genes[SUBSET] == Subset.TEST]
    share = (held_out["rank"] - 0.5) / held_out["n_genes"]
    return held_out.assign(share=share).sort_values(["share", "name"])


def target_counts(targets: pd.DataFrame) -> list[dict[str, object]]:
    """By kind of perturbation and by the subset of the gene: how high targets stand, and luck."""
    subset = targets["other_subset"].fillna("several")
    return [
        {
            "modality": modality,
            "gene_subset": gene_subset,
            "n": len(own),
            "compounds": own["name"].nunique(),
            "median": own["share"].median(),
            "first": int((own["rank"] == 1).sum()),
            "first_by_luck": (1 / own["n_genes"]).sum(),
        }
        for (modality, gene_subset), own in targets.groupby(["other_modality", subset])
    ]


def target_examples(targets: pd.DataFrame) -> list[dict[str, object]]:
    """The best, the middle and the worst of each kind of perturbation."""
    return [
        {"which": which, **records(own.iloc[[row]])[0]}
        for _, own in targets.groupby("other_modality")
        for which, row in _best_to_worst(len(own))
    ]


def matching_rows(matching: pd.DataFrame) -> list[dict[str, object]]:
    """One row a task, track and stratum; a (value, chance) pair a metric."""
    keys = ["task", "track", "stratum", "n"]
    return [
        dict(zip(keys, key, strict=True)) | {"metrics": records(own)}
        for key, own in matching.groupby(keys, sort=False)
    ]


def unshared(leakage: pd.DataFrame) -> list[str]:
    """Kinds of things that no two subsets have in common."""
    shared = leakage.groupby("what", sort=False)["shared"].sum()
    return [str(what) for what in shared.index[shared == 0]]


def ranker_rows(rankers: pd.DataFrame) -> list[dict[str, object]]:
    """MRR and recall@1 within modality, best first."""
    within = rankers[rankers["scope"] == "within_modality"]
    first = within[within["metric"] == "mrr"].set_index("ranker")
    recall = within[within["metric"] == "recall@1"].set_index("ranker")["value"]
    rows = first.sort_values("value", ascending=False).assign(recall=recall).reset_index()
    return rows.to_dict("records")


def longest(prompts: pd.DataFrame) -> str:
    """The prompt that says most."""
    return str(prompts.loc[prompts[PROMPT].str.len().idxmax(), PROMPT])


def headline_metrics(retrieval: pd.DataFrame, subset: Subset = Subset.TEST) -> pd.DataFrame:
    """Perturbation-level image-to-text rows of a subset: the numbers to look at first."""
    return retrieval[
        (retrieval["subset"] == subset)
        & (retrieval["level"] == "perturbation")
        & (retrieval["direction"] == "image_to_text")
    ]


def data_counts(wells: pd.DataFrame, set_aside: pd.DataFrame) -> dict[str, object]:
    """Plates, wells, sites and reasons: what the page says first."""
    own = set_aside[set_aside[PLATE].isin(wells[PLATE])].drop_duplicates([PLATE, WELL, SITE])
    reasons = own[REASON].value_counts()
    return {
        "plates": wells[PLATE].nunique(),
        "wells": int((wells[N_SITES] > 0).sum()),
        "sites": int(wells[N_SITES].sum()),
        "modalities": wells.groupby(MODALITY)[PLATE].nunique().to_dict(),
        "set_aside": {str(reason): int(n) for reason, n in reasons.items()},
        "without_conditions": bool(wells["Metadata_condition"].isna().all()),
    }


def images_by_plate(
    site_qc: pd.DataFrame, intensities: pd.DataFrame, wells: pd.DataFrame
) -> list[dict[str, Any]]:
    """What each plate's images are like; nothing where profiles stand in their place."""
    plates = []
    for plate, qc in site_qc[site_qc[PLATE].isin(wells[PLATE])].groupby(PLATE):
        levels = intensities[intensities[PLATE] == plate]
        used = (levels["p99_9"] - levels["p0_1"]) / levels["dtype_max"]
        near_empty = qc[qc["near_empty"].eq(other=True)].drop_duplicates([WELL, SITE])
        plates.append(
            {
                "plate": plate,
                "used_range": dict(zip(levels[CHANNEL], used, strict=True)),
                "near_empty": len(near_empty),
                "map": draw_plate_maps(qc, list(levels[CHANNEL]))
                if qc["mean"].notna().any()
                else None,
            }
        )
    return plates


def split_counts(summary: pd.DataFrame) -> list[dict[str, object]]:
    """Subsets and modalities; excluded wells by role, too."""
    kept = summary[summary[SUBSET] != Subset.EXCLUDED]
    counts = ["wells", "perturbations", "entities"]
    rows = kept.groupby([SUBSET, MODALITY], sort=False)[counts].sum().reset_index()
    return rows.to_dict("records")


def headline(retrieval: pd.DataFrame, permutation: pd.DataFrame) -> dict[str, object]:
    """The numbers that stand at the top."""
    rows = headline_metrics(retrieval)
    rows = rows[rows["scope"] == "within_modality"].set_index("metric")
    test = permutation[permutation["subset"] == Subset.TEST].iloc[0]
    mrr = rows.loc["mrr"]
    return {
        "mrr": mrr["value"],
        "chance": mrr["chance"],
        "ci_low": mrr["ci_low"],
        "ci_high": mrr["ci_high"],
        "times": mrr["value"] / mrr["chance"],
        "recall_at_1": rows.loc["recall@1", "value"],
        "recall_at_1_chance": rows.loc["recall@1", "chance"],
        "n_queries": int(mrr["n_queries"]),
        "p_value": test["p_value"],
        "null_size": int(test["null_size"]),
    }


def retrieval_rows(retrieval: pd.DataFrame) -> list[dict[str, object]]:
    """One row a subset, scope, level and direction; a (value, chance) pair a metric."""
    keys = ["subset", "level", "direction", "scope", "n_queries", "n_candidates"]
    rows = []
    for key, group in retrieval.groupby(keys, sort=False):
        numbers = group.set_index("metric")[["value", "chance", "modality_oracle"]]
        metrics = numbers.to_dict("index")
        rows.append(dict(zip(keys, key, strict=True)) | {"metrics": metrics})
    return rows
