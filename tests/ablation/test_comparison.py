"""Differences between cells, by hand."""

import numpy as np
import pandas as pd
import pytest

from morphoclip.ablation.cells import BASE
from morphoclip.ablation.comparison import compare_cells, draw_ablation, expected_by_luck
from morphoclip.columns import BROAD_SAMPLE, MODALITY, PROMPT_DIGEST
from morphoclip.metrics.bootstrap import Bootstrap
from morphoclip.schemas.evaluation import ABLATION_METRICS

N = 60

PROMPTS = pd.DataFrame(
    {
        MODALITY: "compound",
        BROAD_SAMPLE: [f"S{n}" for n in range(2 * N)] + [f"S{n}x" for n in range(N)],
        PROMPT_DIGEST: [f"prompt {n % N}" for n in range(2 * N)] + [f"other {n}" for n in range(N)],
    }
)
"""Two IDs for each of sixty prompts, and sixty of one each."""


def trainings(values: np.ndarray, *, candidates: int = 10, chance: float = 0.3) -> pd.DataFrame:
    """Two seeds, the second of them .1 higher throughout."""
    parts = [
        pd.DataFrame(
            {
                MODALITY: "compound",
                BROAD_SAMPLE: [f"S{n}" for n in range(len(values))],
                "fold": 0,
                "seed": seed,
                "n_candidates": candidates,
                "mrr": values + 0.1 * seed,
                "mrr_chance": chance,
                "seconds": 2.0,
            }
        )
        for seed in (0, 1)
    ]
    return pd.concat(parts, ignore_index=True)


def table(*cells: tuple[str, str, pd.DataFrame]) -> pd.DataFrame:
    metrics = compare_cells(list(cells), PROMPTS, Bootstrap(2000, 0))
    return ABLATION_METRICS.validate(metrics).set_index(["parameter", "value"])


def noise(seed: int, sd: float = 1.0) -> np.ndarray:
    return sd * np.random.default_rng(seed).standard_normal(N)


def test_values_are_means_over_seeds_and_perturbations() -> None:
    values = noise(0)
    row = table((BASE, "", trainings(values))).loc[(BASE, "")]
    assert row["mrr"] == pytest.approx(values.mean() + 0.05)
    assert row["sd_over_seeds"] == pytest.approx(0.1 / np.sqrt(2))
    assert (row["n_perturbations"], row["n_seeds"], row["n_trainings"]) == (N, 2, 2)
    assert row["seconds"] == 4.0
    spread = 1.96 * values.std() / np.sqrt(N)
    assert row["ci_high"] - row["ci_low"] == pytest.approx(2 * spread, rel=0.15)
    assert np.isnan(row["difference"])


def test_ids_of_one_prompt_are_one_perturbation() -> None:
    """Each perturbation twice under another ID says nothing new: intervals stay."""
    one, other = noise(0), noise(3)
    twice = table((BASE, "", trainings(np.tile(one, 2))), ("a", "1", trainings(np.tile(other, 2))))
    once = table((BASE, "", trainings(one)), ("a", "1", trainings(other)))
    pd.testing.assert_frame_equal(twice, once)


def test_a_difference_is_paired() -> None:
    """Perturbations differ a lot, the two cells hardly: unpaired, nothing would be seen."""
    values = noise(1, sd=5.0)
    cells = (
        (BASE, "", trainings(values)),
        ("a", "1", trainings(values + 0.2 + noise(2, sd=0.1))),
        ("a", "2", trainings(values - 0.2 + noise(3, sd=0.1))),
        ("a", "3", trainings(values + noise(4, sd=1.0))),
    )
    metrics = table(*cells)
    assert metrics.loc[("a", "1"), "difference"] == pytest.approx(0.2, abs=0.05)
    assert metrics.loc[("a", "1"), "finding"] == (
        "MRR is higher than in the base cell by more than the noise."
    )
    assert metrics.loc[("a", "2"), "finding"].startswith("MRR is lower than in the base cell by mo")
    assert metrics.loc[("a", "3"), "finding"] == "The difference in MRR does not exceed the noise."
    assert expected_by_luck(metrics.reset_index()).startswith("2 of 3 differences exceed the noise")


def test_other_candidates_are_compared_above_chance() -> None:
    values = noise(5)
    same_skill = trainings(values + 0.2, candidates=5, chance=0.5)
    row = table((BASE, "", trainings(values)), ("split", "x", same_skill)).loc[("split", "x")]
    assert not row["same_candidates"]
    assert row["difference"] == pytest.approx(0.0)
    assert "ranks other candidates" in row["finding"]


def test_only_perturbations_held_out_in_both_are_compared() -> None:
    few = trainings(noise(6)[:20])
    row = table((BASE, "", trainings(noise(6))), ("split", "x", few)).loc[("split", "x")]
    assert (row["n_perturbations"], row["n_compared"]) == (20, 20)
    assert not row["same_candidates"]
    others = few.assign(**{BROAD_SAMPLE: few[BROAD_SAMPLE] + "x"})
    row = table((BASE, "", trainings(noise(6))), ("split", "y", others)).loc[("split", "y")]
    assert row["n_compared"] == 0
    assert "not comparable" in row["finding"]


@pytest.mark.slow
def test_a_cell_without_effect_exceeds_the_noise_in_one_of_twenty() -> None:
    beyond = 0
    for seed in range(200):
        values = noise(1000 + seed)
        cell = trainings(values + noise(5000 + seed, sd=0.5))
        row = table((BASE, "", trainings(values)), ("a", "1", cell)).loc[("a", "1")]
        beyond += row["difference_low"] > 0 or row["difference_high"] < 0
    assert 2 <= beyond <= 22


def test_the_figure_has_a_row_for_each_difference() -> None:
    values = noise(7)
    metrics = compare_cells(
        [
            (BASE, "", trainings(values)),
            ("a", "1", trainings(values + 1)),
            ("a", "2", trainings(values)),
        ],
        PROMPTS,
        Bootstrap(200, 0),
    )
    figure = draw_ablation(metrics, "mine")
    (axes,) = figure.axes
    assert [label.get_text() for label in axes.get_yticklabels()] == ["a: 1", "a: 2"]
    assert figure.get_suptitle().startswith("grid mine: base MRR")
