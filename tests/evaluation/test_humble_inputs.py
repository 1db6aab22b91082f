"""Cell counts and untrained backbones: rows that a trained model has to beat."""

import numpy as np
import pandas as pd
import pytest

from morphoclip.columns import CHANNEL, PLATE, ROLE, SITE, WELL
from morphoclip.evaluation.baselines import BASELINES, BaselineData
from morphoclip.evaluation.humble_inputs import (
    CELL_COUNT,
    UNTRAINED_BACKBONE,
    cell_counts,
    on_a_quarter_circle,
)
from morphoclip.evaluation.perturbation_sets import PerturbationSet

WELLS = pd.DataFrame({PLATE: "P", WELL: ["A01", "A02", "A03"], ROLE: ["negcon", "negcon", "trt"]})


def qc(*rows: tuple[str, int, float]) -> pd.DataFrame:
    table = pd.DataFrame(rows, columns=[WELL, SITE, "nuclei"]).assign(
        **{PLATE: "P", CHANNEL: "DNA"}
    )
    others = table.assign(**{CHANNEL: "ER", "nuclei": np.nan})
    return pd.concat([table, others], ignore_index=True)


def test_cells_are_counted_over_the_plates_controls() -> None:
    counts = cell_counts(
        qc(("A01", 1, 9), ("A01", 2, 11), ("A02", 1, 30), ("A03", 1, 6), ("A03", 2, 4)), WELLS
    )
    assert counts is not None
    assert counts["nuclei"].tolist() == [10, 30, 5]
    expected = np.log(np.array([11, 31, 6]) / 21)  # the controls' median is 20
    np.testing.assert_allclose(counts["log_ratio"], expected)


def test_without_controls_the_plates_median_serves() -> None:
    treated = WELLS.assign(**{ROLE: "trt"})
    counts = cell_counts(qc(("A01", 1, 10), ("A02", 1, 30), ("A03", 1, 20)), treated)
    assert counts is not None
    assert counts.loc[("P", "A03"), "log_ratio"] == 0


def test_nothing_counted_is_no_table() -> None:
    assert cell_counts(None, WELLS) is None
    assert cell_counts(qc(("A01", 1, np.nan)), WELLS) is None
    assert cell_counts(qc(("A01", 1, 3)).drop(columns="nuclei"), WELLS) is None


def test_cosines_on_the_circle_fall_with_the_difference() -> None:
    numbers = np.array([-2.0, 0.5, 0.0, 3.0])
    circle = on_a_quarter_circle(numbers)
    np.testing.assert_allclose(np.linalg.norm(circle, axis=1), 1)
    cosines = (circle @ circle.T)[np.triu_indices(4, 1)]
    distances = np.abs(numbers[:, None] - numbers)[np.triu_indices(4, 1)]
    assert (np.argsort(-cosines) == np.argsort(distances)).all()
    np.testing.assert_allclose(on_a_quarter_circle(np.ones(3)), [[1, 0]] * 3)


def perturbations(numbers: np.ndarray, text: np.ndarray, **others: np.ndarray) -> PerturbationSet:
    n = len(numbers)
    noise = np.random.default_rng(len(numbers)).standard_normal((n, 6))
    nothing = [frozenset()] * n
    return PerturbationSet(
        np.arange(n).astype(str),
        np.full(n, "compound"),
        noise,
        text,
        None,
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


@pytest.mark.parametrize("name", [CELL_COUNT, UNTRAINED_BACKBONE])
def test_a_row_is_absent_where_its_input_is(name: str) -> None:
    data = BaselineData.of(*(perturbations(np.ones(4), np.eye(4)) for _ in range(2)))
    assert BASELINES[name](data, np.random.default_rng(0)) == []
