"""What the page picks out of the tables: neither the best only, nor the whole."""

import base64

import pandas as pd
import pytest
from explored_plates import CHANNELS, explored

from morphoclip.columns import PROMPT_DIGEST
from morphoclip.evaluation.held_out_retrieval import FEWEST_PERTURBATIONS
from morphoclip.perturbations.prompts import prompt_digest
from morphoclip.perturbations.well_index import readable_condition
from morphoclip.report.cells import ReportCells
from morphoclip.report.figures import draw_benchmark, rows_of_stratum
from morphoclip.report.sections.headline import headline_section
from morphoclip.report.sections.results import (
    example_texts,
    held_out_targets,
    strongest_pairs,
    target_counts,
    target_examples,
)
from morphoclip.wells.pictures import WellPictures

CONDITION = "compound|U2OS|48|100|absent|Parental"


def test_texts_are_shown_from_the_best_to_the_worst_with_three_each() -> None:
    ranks = [4.0, 1.0, 2.0, 5.0, 3.0]
    retrieved = pd.DataFrame(
        {
            "Metadata_modality": "orf",
            "Metadata_prompt": f"prompt {n}",
            "rank_of_true": rank,
            "n_candidates": 5,
            "rank": place,
            "retrieved": f"word {place}",
            "is_true": place == rank,
        }
        for n, rank in enumerate(ranks)
        for place in (1, 2, 3, 4)
    )
    shown = example_texts(retrieved)
    assert [(row["which"], row["prompt"], row["rank"]) for row in shown] == [
        ("best", "prompt 1", 1), ("middle", "prompt 4", 3), ("worst", "prompt 3", 5)
    ]  # fmt: skip
    assert [[text["is_true"] for text in row["texts"]] for row in shown] == [
        [True, False, False], [False, False, True], [False, False, False]
    ]  # fmt: skip


TARGETS = pd.DataFrame(
    {
        "name": ["a", "b", "c", "d", "e"],
        "Metadata_subset": ["test", "test", "test", "test", "train"],
        "other_modality": ["crispr", "crispr", "crispr", "orf", "crispr"],
        "other_subset": ["train", "train", None, "test", "train"],
        "rank": [1.0, 8.0, 3.0, 10.0, 1.0],
        "n_genes": 10,
    }
)


def test_targets_are_counted_by_what_the_model_was_read_beside_chance() -> None:
    counts = target_counts(held_out_targets(TARGETS))
    rows = {(row["modality"], row["gene_subset"]): row for row in counts}
    assert set(rows) == {("crispr", "train"), ("crispr", "several"), ("orf", "test")}
    told = rows["crispr", "train"]
    assert (told["n_targets"], told["n_compounds"], told["n_first"]) == (2, 2, 1), (
        "train compounds are not"
    )
    assert told["n_first_by_chance"] == pytest.approx(0.2)
    assert told["median"] == pytest.approx((0.05 + 0.75) / 2)


def test_targets_are_shown_to_the_worst() -> None:
    examples = target_examples(held_out_targets(TARGETS))
    assert [(row["other_modality"], row["which"], row["name"]) for row in examples] == [
        ("crispr", "best", "a"), ("crispr", "middle", "c"), ("crispr", "worst", "b"),
        ("orf", "best", "d"), ("orf", "middle", "d"), ("orf", "worst", "d"),
    ]  # fmt: skip


def test_a_pair_is_said_once_and_without_z_not_at_all() -> None:
    nearest_treatments = pd.DataFrame(
        [("a", "b", 5.0), ("b", "a", 7.0), ("a", "c", 6.0), ("c", "d", None)],
        columns=["Metadata_broad_sample", "other_broad_sample", "z"],
    ).assign(Metadata_condition=CONDITION, other_condition=CONDITION)
    shown = strongest_pairs(nearest_treatments)
    assert shown["Metadata_broad_sample"].tolist() == ["b", "a"]
    assert shown["z"].tolist() == [7.0, 6.0]


def test_the_benchmark_is_drawn_from_test_rows_and_controls() -> None:
    rows = [
        ("trained model", "replicability", "all", 0.9),
        ("trained model", "replicability", "test", 0.5),
        ("input features", "replicability", "test", 0.4),
        ("trained model", "same_position_controls", "all", 0.2),
    ]
    metrics = pd.DataFrame(
        rows, columns=["profiles", "task", "stratum", "mean_average_precision"]
    ).assign(track=CONDITION, chance=0.3, same_position=[0.2, 0.2, 0.1, None])
    assert rows_of_stratum(metrics, "test")["mean_average_precision"].tolist() == [0.5, 0.4, 0.2]
    (axes,) = draw_benchmark(metrics, "test").axes
    drawn = {line.get_label(): sorted(line.get_xdata()) for line in axes.lines}
    named = {name: values for name, values in drawn.items() if not name.startswith("_")}
    assert named == {
        "input features": [0.4], "trained model": [0.2, 0.5], "chance": [0.3] * 3,
        "controls at one position": [],
    }  # fmt: skip
    crosses = [list(line.get_xdata()) for line in axes.lines if line.get_marker() == "x"]
    assert sorted(crosses) == [[], [], [], [0.1], [0.2]], "one of each kind of profiles"
    assert [text.get_text() for text in axes.get_yticklabels()] == [
        "replicability\ncompound U2OS Parental 48 h",
        "same position controls\ncompound U2OS Parental 48 h",
    ]


def test_conditions_are_readable() -> None:
    assert readable_condition(CONDITION) == "compound U2OS Parental 48 h"
    odd = "crispr|A549|144|80|Puromycin|Cas9 to compound|A549|24|100|absent|Cas9, cosine"
    assert readable_condition(odd) == (
        "crispr A549 Cas9 144 h, density 80, Puromycin to compound A549 Cas9 24 h, cosine"
    )
    assert readable_condition("compound") == "compound"
    assert readable_condition("compound|A549|24|80 and orf|A549|96") == (
        "compound A549 24 h 80 and orf A549 96 h"
    )


def headline(n_queries: int, shared: int = 0) -> str:
    row = {
        "subset": "test", "level": "perturbation", "direction": "image_to_text",
        "scope": "within_modality", "n_queries": n_queries, "n_candidates": n_queries,
        "value": 0.9, "chance": 0.2, "ci_low": 0.8, "ci_high": 1.0, "modality_oracle": 0.2,
    }  # fmt: skip
    retrieval = pd.DataFrame([row | {"metric": metric} for metric in ("mrr", "recall@1")])
    permutation = pd.DataFrame([{"subset": "test", "p_value": 0.01, "null_size": 100}])
    comparison = pd.DataFrame(
        [
            {
                "method": "model", "metric": "mrr", "scope": "within_modality",
                "direction": direction, "value": 0.9, "difference": 0.0,
                "difference_low": 0.0, "difference_high": 0.0, "n_perturbations": n_queries,
            }
            for direction in ("both", "image_to_text", "text_to_image")
        ]
    )  # fmt: skip
    leakage = pd.DataFrame(
        [
            {"subset": "train", "other_subset": "validation", "what": "prompt", "shared": 3},
            {"subset": "train", "other_subset": "test", "what": "prompt", "shared": shared},
            {"subset": "train", "other_subset": "test", "what": "plate", "shared": 9},
        ]
    )
    return headline_section(retrieval, permutation, comparison, leakage).html


def test_few_perturbations_have_no_headline() -> None:
    page = headline(FEWEST_PERTURBATIONS - 1)
    assert "too few to say whether" in page
    assert "0.900" not in page
    assert "<b>0.900</b>mean reciprocal rank" in headline(FEWEST_PERTURBATIONS)


def test_held_out_plates_are_no_held_out_perturbations() -> None:
    page = headline(20, shared=20)
    assert "perturbations on held-out plates" in page
    assert "20 of their texts were read in training" in page
    assert "held-out perturbation" not in page
    assert "held-out perturbations" in headline(20)


def test_examples_show_cells_beside_controls_of_their_plate() -> None:
    data = explored()
    wells = data.index.wells.assign(**{PROMPT_DIGEST: prompt_digest("words of one")})
    cells = ReportCells(data.cells, wells)
    pair = cells.of_treatment("compound-3", "compound|U2OS")
    assert pair is not None
    assert pair.words.startswith("plate compound0, well A04, beside the negative control ")
    assert base64.b64decode(pair.own)[8:12] == b"WEBP"
    assert pair.control != pair.own
    assert cells.of_prompt("words of one") == cells.of_treatment("compound-0", "compound|U2OS")
    assert cells.of_prompt("words of another") is None
    without = ReportCells(WellPictures({}, wells, CHANNELS), wells)
    assert without.of_treatment("compound-3", "compound|U2OS") is None
