"""What the model finds: texts, target genes and similar treatments, from the best to the worst."""

from typing import Any

import pandas as pd

from morphoclip.columns import BROAD_SAMPLE, CONDITION, MODALITY, PROMPT, SUBSET, Subset
from morphoclip.evaluation.nearest_treatments import notes_on_cells
from morphoclip.fingerprint import channel_names
from morphoclip.loaders import Loaders
from morphoclip.report.cells import ReportCells
from morphoclip.report.rendering import Section, best_middle_worst, records, render
from morphoclip.wells.pictures import WellPictures

_BOTH = notes_on_cells(pd.Series([True]), pd.Series([True]))[0]
_PAIRS_SHOWN = 8
_TEXTS_SHOWN = 3


def results_section(
    retrieved_texts: pd.DataFrame,
    target_genes: pd.DataFrame,
    nearest_treatments: pd.DataFrame,
    thumbnails: Loaders[bytes],
    well_profiles: pd.DataFrame,
    plate_records: Loaders[Any],
) -> Section:
    """Examples of each question, not the best ones only, with cells where pictures were kept."""
    targets = held_out_targets(target_genes)
    pictures = WellPictures(thumbnails, well_profiles, _channels(plate_records))
    cells = ReportCells(pictures, well_profiles)
    retrieved = example_texts(retrieved_texts)
    pairs = records(strongest_pairs(nearest_treatments[~nearest_treatments["note"].eq(_BOTH)]))
    for row in retrieved:
        row["cells"] = cells.of_prompt(row["prompt"])
    for row in pairs:
        row["cells"] = cells.of_treatment(row[BROAD_SAMPLE], row[CONDITION])
        row["other_cells"] = cells.of_treatment(row["other_broad_sample"], row["other_condition"])
    html = render(
        "results",
        retrieved=retrieved,
        target_counts=target_counts(targets),
        target_examples=target_examples(targets),
        pairs=pairs,
        has_pictures=bool(thumbnails),
        n_without_cells=int(nearest_treatments["note"].eq(_BOTH).sum()),
        example=_example_name(nearest_treatments),
    )
    return Section("What the model finds", html)


def _channels(plate_records: Loaders[Any]) -> tuple[str, ...]:
    """Those that the pictures were made of; parameters of today may name others."""
    first = next(iter(plate_records.values()), None)
    return channel_names(first()["fingerprint"]) if first else ()


def _example_name(nearest_treatments: pd.DataFrame) -> str:
    """A treatment of this run that a user can ask about."""
    names = nearest_treatments["name"]
    return str(names.iloc[0]) if len(names) else "<name>"


def example_texts(retrieved_texts: pd.DataFrame) -> list[dict[str, Any]]:
    """Of each modality the best, the middle and the worst ranked treatment, with its texts."""
    shown = []
    for modality, rows in retrieved_texts.groupby(MODALITY):
        ranked = rows[rows["rank"] == 1].sort_values(["rank_of_true", PROMPT])
        for which, position in best_middle_worst(len(ranked)):
            treatment = ranked.iloc[position]
            texts = rows[rows[PROMPT] == treatment[PROMPT]].sort_values("rank").head(_TEXTS_SHOWN)
            shown.append(
                {
                    "modality": modality,
                    "which": which,
                    "prompt": treatment[PROMPT],
                    "rank": treatment["rank_of_true"],
                    "n_candidates": treatment["n_candidates"],
                    "texts": texts[["retrieved", "is_true"]].to_dict("records"),
                }
            )
    return shown


def held_out_targets(target_genes: pd.DataFrame) -> pd.DataFrame:
    """Test compounds and their targets, the most similar first.

    ``share``: where a target ranks, from 0 (first) to 1 (last); 0.5 is chance.
    """
    rows = target_genes[target_genes[SUBSET] == Subset.TEST]
    share = (rows["rank"] - 0.5) / rows["n_genes"]
    return rows.assign(share=share).sort_values(["share", "name"])


def target_counts(targets: pd.DataFrame) -> list[dict[str, Any]]:
    """By modality of the gene's perturbation and its subset: how high targets rank, and chance."""
    gene_subset = targets["other_subset"].fillna("several")
    return [
        {
            "modality": modality,
            "gene_subset": subset,
            "n_targets": len(rows),
            "n_compounds": rows["name"].nunique(),
            "median": rows["share"].median(),
            "n_first": int((rows["rank"] == 1).sum()),
            "n_first_by_chance": (1 / rows["n_genes"]).sum(),
        }
        for (modality, subset), rows in targets.groupby(["other_modality", gene_subset])
    ]


def target_examples(targets: pd.DataFrame) -> list[dict[str, Any]]:
    """The best, the middle and the worst of each modality."""
    return [
        {"which": which, **records(rows.iloc[[position]])[0]}
        for _, rows in targets.groupby("other_modality")
        for which, position in best_middle_worst(len(rows))
    ]


def strongest_pairs(nearest_treatments: pd.DataFrame) -> pd.DataFrame:
    """The pairs with the highest z, each listed once."""
    one, other = (
        nearest_treatments[f"{prefix}condition"] + " " + nearest_treatments[f"{prefix}broad_sample"]
        for prefix in ("Metadata_", "other_")
    )
    in_order = one < other
    ends = pd.concat([one.where(in_order, other), other.where(in_order, one)], axis=1)
    strongest = nearest_treatments.dropna(subset=["z"]).sort_values("z", ascending=False)
    return strongest[~ends.loc[strongest.index].duplicated()].head(_PAIRS_SHOWN)
