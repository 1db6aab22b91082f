"""Cell counts and untrained backbones: rows that a trained model has to beat."""

import numpy as np
import pandas as pd
import pytest
from synthetic_profiles import layout, noise

from morphoclip.columns import BROAD_SAMPLE, EMBEDDING_PREFIX, PLATE, WELL
from morphoclip.evaluation.baseline_data import BaselineData
from morphoclip.evaluation.baselines import BASELINES
from morphoclip.evaluation.config import EvaluationConfig
from morphoclip.evaluation.humble_inputs import (
    CELL_COUNT,
    UNTRAINED_BACKBONE,
    WELL_POSITION,
    cell_counts,
    on_a_quarter_circle,
    well_positions,
)
from morphoclip.evaluation.perturbation_sets import PerturbationSet
from morphoclip.metrics.benchmark import benchmark
from morphoclip.metrics.chance import NullConfig
from morphoclip.pipelines.evaluation.nodes import score_matching

NULL = NullConfig(size=1000, seed=0)


def test_wells_that_were_not_counted_have_no_row_and_nothing_counted_is_no_table() -> None:
    quality = pd.DataFrame(
        {
            PLATE: "P",
            WELL: ["A01", "A02"],
            "nuclei": [10.0, np.nan],
            "nuclei_log_ratio": [0.5, np.nan],
        }
    )
    counts = cell_counts(quality)
    assert counts is not None
    assert counts["nuclei_log_ratio"].to_dict() == {("P", "A01"): 0.5}
    assert cell_counts(None) is None
    assert cell_counts(quality[1:]) is None


def test_cosines_on_the_circle_fall_with_the_wells_between() -> None:
    numbers = np.array([-2.0, 0.5, 0.0, 300.0])
    circle = on_a_quarter_circle(numbers, np.random.default_rng(0))
    np.testing.assert_allclose(np.linalg.norm(circle, axis=1), 1)
    expected = np.cos(np.pi / 6 * np.abs(np.array([0, 2, 1, 3])[:, None] - [0, 2, 1, 3]))
    np.testing.assert_allclose(circle @ circle.T, expected, atol=1e-12)


def test_equal_counts_score_chance_and_counts_that_tell_score_more() -> None:
    table = layout(n_plates=2, n_treatments=20)
    few = table[BROAD_SAMPLE].isin([f"compound-{n}" for n in range(10)]).to_numpy()
    equal, told = (
        benchmark(table, on_a_quarter_circle(n, np.random.default_rng(3)), NULL, profiles="count")
        for n in (np.full(len(table), 7.0), np.where(few, 1.0, 7.0))
    )
    equal, told = (rows.query("stratum == 'all'").iloc[0] for rows in (equal, told))
    assert equal["task"] == told["task"] == "replicability"
    assert equal["mean_average_precision"] == pytest.approx(equal["chance"], abs=0.05)
    assert equal["fraction_retrieved"] == 0
    assert told["mean_average_precision"] > 2 * told["chance"]


def test_profiles_that_are_alike_are_flagged_only_where_something_could_be_scored() -> None:
    alike = benchmark(layout(), np.ones((len(layout()), 2)), NULL, profiles="alike")
    assert alike["flag"].str.startswith("ties").all()
    assert len(alike) == 2, "treatments, and controls at one position"
    alone = layout(n_plates=1)
    assert benchmark(alone, np.ones((len(alone), 2)), NULL, profiles="alike").empty


def test_each_input_is_a_row_of_the_benchmark() -> None:
    table = layout(n_plates=2, n_treatments=10)
    keys = pd.MultiIndex.from_frame(table[[PLATE, WELL]])
    counts = pd.DataFrame({"log_ratio": np.arange(len(keys)) % 5}, index=keys)
    features = pd.DataFrame(noise(table, 1), index=keys)
    embedded = pd.DataFrame(noise(table), columns=[f"{EMBEDDING_PREFIX}{n:03d}" for n in range(16)])
    _, tracks = score_matching(
        pd.concat([table, embedded], axis=1),
        {"input_features": features, CELL_COUNT: counts},
        EvaluationConfig(null_size=100),
    )
    assert set(tracks["profiles"]) == {"trained model", "input features", "cell count"}


def perturbations(numbers: np.ndarray, text: np.ndarray, **others: np.ndarray) -> PerturbationSet:
    n = len(numbers)
    noise = np.random.default_rng(len(numbers)).standard_normal((n, 6))
    nothing = [frozenset()] * n
    return PerturbationSet(
        np.arange(n).astype(str),
        np.full(n, "compound"),
        noise,
        text,
        np.zeros((n, 0)),
        {},
        None,
        nothing,
        nothing,
        nothing,
        others,
    )


def test_a_text_that_says_how_many_cells_there_are_is_found_by_counting() -> None:
    train, test = np.linspace(-1, 1, 40), np.linspace(-0.9, 0.9, 5)
    text = [np.stack([np.cos(2 * x), np.sin(2 * x)], axis=1) for x in (train, test)]
    data = BaselineData.of(
        perturbations(train, text[0], cell_count=train[:, None]),
        perturbations(test, text[1], cell_count=test[:, None]),
    )
    (similarity,) = BASELINES[CELL_COUNT](data, np.random.default_rng(0))
    assert (similarity.argmax(axis=1) == np.arange(5)).all()


def test_the_untrained_backbone_sees_its_own_features() -> None:
    rng = np.random.default_rng(1)
    features = [rng.standard_normal((60, 3)), rng.standard_normal((6, 3))]
    features = [x / np.linalg.norm(x, axis=1, keepdims=True) for x in features]
    sets = [perturbations(x[:, 0], x, untrained_backbone=x) for x in features]
    data = BaselineData.of(*sets)
    (similarity,) = BASELINES[UNTRAINED_BACKBONE](data, rng)
    assert (similarity.argmax(axis=1) == np.arange(6)).mean() > 0.8
    (of_images,) = BASELINES["kernel_ridge"](data, rng)
    assert (of_images.argmax(axis=1) == np.arange(6)).mean() < 0.8


def test_a_text_that_goes_with_the_row_is_found_by_position_and_not_by_permuted_ones() -> None:
    rng = np.random.default_rng(0)
    places = np.array([(row, column) for row in range(8) for column in range(8)], dtype=float)
    text = np.stack([np.cos(places[:, 0]), np.sin(places[:, 0])], axis=1)
    held_out = rng.permutation(64)[:8]
    kept = np.setdiff1d(np.arange(64), held_out)

    def found(order: np.ndarray) -> float:
        data = BaselineData.of(
            perturbations(np.zeros(len(kept)), text[kept], well_position=places[order][kept]),
            perturbations(np.zeros(8), text[held_out], well_position=places[order][held_out]),
        )
        (similarity,) = BASELINES[WELL_POSITION](data, rng)
        of_row = text[held_out] @ text[held_out].T > 0.99
        best = similarity.argmax(axis=1)
        return float(of_row[np.arange(8), best].mean())

    assert found(np.arange(64)) > 0.9
    assert found(rng.permutation(64)) < 0.6


def test_positions_are_rows_and_columns() -> None:
    wells = pd.DataFrame({PLATE: "P", WELL: ["A01", "P24"]})
    assert well_positions(wells).to_numpy().tolist() == [[1, 1], [16, 24]]


@pytest.mark.parametrize("name", [CELL_COUNT, UNTRAINED_BACKBONE, WELL_POSITION])
def test_a_row_is_absent_where_its_input_is(name: str) -> None:
    data = BaselineData.of(*(perturbations(np.ones(4), np.eye(4)) for _ in range(2)))
    assert BASELINES[name](data, np.random.default_rng(0)) == []
