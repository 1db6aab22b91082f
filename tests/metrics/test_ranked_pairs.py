"""Average precision by counting is that of copairs, which lists all pairs."""

import numpy as np
import pandas as pd
import pytest
from copairs.compute import random_ap
from copairs_reference import average_precisions
from hypothesis import given, settings
from hypothesis import strategies as st

from morphoclip.metrics import average_precision, ranked_pairs
from morphoclip.metrics.average_precision import expected_average_precision, null_precisions
from morphoclip.metrics.chance import NullConfig
from morphoclip.metrics.matrix import unit_rows
from morphoclip.metrics.ranked_pairs import (
    Precisions,
    incidence,
    label_precisions,
    replicate_precisions,
)


def wells(seed: int, n: int = 90) -> tuple[pd.DataFrame, np.ndarray]:
    rng = np.random.default_rng(seed)
    is_control = (rng.random(n) < 0.3).astype(int)
    is_control[:5] = 1  # one a plate at least: copairs gives a row without any those of another
    table = pd.DataFrame({"plate": [*range(5), *rng.integers(0, 5, n - 5)], "control": is_control})
    table["sample"] = np.where(is_control, -1, rng.integers(0, 25, n))
    return table.assign(row=np.arange(n)), rng.standard_normal((n, 6))


def with_repeats(matrix: np.ndarray, seed: int, dim: int) -> np.ndarray:
    """Wide rows, a fourth of them copies of two: their products have to tie wherever they lie."""
    rng = np.random.default_rng(seed)
    wide = rng.standard_normal((len(matrix), dim))
    copied = rng.random(len(matrix)) < 0.25
    wide[copied] = wide[rng.integers(0, 2, copied.sum())]
    return wide


def same(found: Precisions, expected: pd.DataFrame) -> None:
    by_row = expected.sort_values(["label", "row"], ignore_index=True)
    order = np.lexsort((found.row, found.label))
    assert found.row[order].tolist() == by_row["row"].tolist()
    assert found.n_positive[order].tolist() == by_row["n_pos_pairs"].tolist()
    assert found.n_total[order].tolist() == by_row["n_total_pairs"].tolist()
    np.testing.assert_allclose(found.value[order], by_row["average_precision"], atol=1e-9)


@settings(max_examples=20, derandomize=True)
@given(
    seed=st.integers(0, 9999),
    at_a_time=st.sampled_from([1, 40, 2**24]),
)
def test_replicates_against_the_controls_of_their_plate(seed: int, at_a_time: int) -> None:
    table, matrix = wells(seed)
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ranked_pairs, "_AT_A_TIME", at_a_time)
        found = replicate_precisions(
            matrix,
            pd.factorize(table["sample"], sort=True)[0],
            table["plate"].to_numpy(),
            queries=(table["control"] == 0).to_numpy(),
            others=(table["control"] == 1).to_numpy(),
        )
    expected = average_precisions(
        table,
        matrix,
        pos_sameby=["sample"],
        pos_diffby=[],
        neg_sameby=["plate"],
        neg_diffby=["control"],
    )
    expected = expected[expected["control"] == 0]
    same(found, expected.assign(label=pd.factorize(table["sample"], sort=True)[0][expected["row"]]))


@settings(max_examples=10, derandomize=True)
@given(seed=st.integers(0, 9999))
def test_one_position_of_several_plates(seed: int) -> None:
    rng = np.random.default_rng(seed)
    table = pd.DataFrame({"plate": np.repeat(np.arange(4), 9), "well": np.tile(np.arange(9), 4)})
    table, matrix = table.assign(row=table.index), rng.standard_normal((36, 5))
    kept = rng.random(36) < 0.8
    table, matrix = (
        table[kept].reset_index(drop=True).assign(row=np.arange(kept.sum())),
        matrix[kept],
    )
    everything = np.ones(len(table), dtype=bool)
    found = replicate_precisions(
        matrix,
        table["well"].to_numpy(),
        table["plate"].to_numpy(),
        queries=everything,
        others=everything,
    )
    expected = average_precisions(
        table,
        matrix,
        pos_sameby=["well"],
        pos_diffby=["plate"],
        neg_sameby=["plate"],
        neg_diffby=["well"],
    )
    same(found, expected.assign(label=expected["well"]))


def labelled(seed: int, n: int = 60) -> tuple[pd.DataFrame, np.ndarray]:
    """Rows of 45 compounds, some at several doses, that share up to three of nine targets."""
    rng = np.random.default_rng(seed)
    targets = [
        [f"T{t}" for t in sorted(set(rng.integers(0, 9, 3)))[: n % 3 + 1]] for n in range(45)
    ]
    compound = rng.integers(0, 45, n)
    table = pd.DataFrame({"row": np.arange(n), "compound": compound})
    return table.assign(label=[targets[c] for c in compound]), rng.standard_normal((n, 6))


@settings(max_examples=20, derandomize=True)
@given(
    seed=st.integers(0, 9999),
    absolute=st.booleans(),
    at_a_time=st.sampled_from([100, 2**24]),
)
def test_what_shares_a_target_against_what_shares_none(seed, absolute, at_a_time) -> None:
    table, matrix = labelled(seed)
    has = incidence(table["label"])
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr(ranked_pairs, "_AT_A_TIME", at_a_time)
        found = label_precisions(matrix, has, apart=table["compound"].to_numpy(), absolute=absolute)
    expected = average_precisions(
        table,
        matrix,
        distance="abs_cosine" if absolute else "cosine",
        labels="label",
        pos_sameby=["label"],
        pos_diffby=["compound"],
        neg_sameby=[],
        neg_diffby=["label"],
    )
    names = sorted(set(table["label"].explode()))
    same(found, expected.assign(label=expected["label"].map(names.index)))


@settings(max_examples=10, derandomize=True)
@given(seed=st.integers(0, 9999))
def test_compounds_with_genes(seed: int) -> None:
    table, matrix = labelled(seed)
    table = table.assign(side=(table["row"] < 25).astype(int)).drop(columns="compound")
    has = incidence(table["label"])
    found = label_precisions(matrix, has, apart=table["side"].to_numpy(), absolute=True)
    expected = average_precisions(
        table,
        matrix,
        distance="abs_cosine",
        labels="label",
        pos_sameby=["label"],
        pos_diffby=["side"],
        neg_sameby=[],
        neg_diffby=["label", "side"],
    )
    names = sorted(set(table["label"].explode()))
    same(found, expected.assign(label=expected["label"].map(names.index)))


def literal(similarity: np.ndarray, matches: np.ndarray, others: np.ndarray) -> float:
    """By sorting, matches first among equals."""
    kept = np.flatnonzero(matches | others)
    order = sorted(kept, key=lambda n: (-similarity[n], not matches[n]))
    relevant = matches[order]
    return float((np.cumsum(relevant) / np.arange(1, len(order) + 1))[relevant].mean())


@settings(max_examples=20, derandomize=True)
@given(seed=st.integers(0, 9999), dim=st.sampled_from([16, 97, 384]))
def test_equal_rows_tie_wherever_they_lie(seed: int, dim: int) -> None:
    """Products in single precision of equal rows are not equal; copairs' own are of few rows."""
    table, matrix = wells(seed)
    matrix = with_repeats(matrix, seed, dim)
    group, plate = pd.factorize(table["sample"])[0], table["plate"].to_numpy()
    control = table["control"].to_numpy() == 1
    unit = unit_rows(matrix.astype(np.float32)).astype(np.float64)
    similarity = np.array([(unit * row).sum(axis=1) for row in unit], dtype=np.float32)
    found = replicate_precisions(matrix, group, plate, queries=~control, others=control)
    for row, value in zip(found.row, found.value, strict=True):
        matches = (group == group[row]) & (np.arange(len(group)) != row)
        others = control & (plate == plate[row])
        assert value == pytest.approx(literal(similarity[row], matches, others), abs=1e-9)
    table, _ = labelled(seed)
    matrix, compound = matrix[: len(table)], table["compound"].to_numpy()
    names = sorted(set(table["label"].explode()))
    shares = [[bool(set(one) & set(other)) for other in table["label"]] for one in table["label"]]
    found = label_precisions(matrix, incidence(table["label"]), apart=compound, absolute=True)
    for row, label, value in zip(found.row, found.label, found.value, strict=True):
        is_apart = compound == compound[row]
        matches = np.array([names[label] in own for own in table["label"]]) & ~is_apart
        others = ~np.array(shares[row]) & ~is_apart
        sorted_by = np.abs(similarity[row][: len(table)])
        assert value == pytest.approx(literal(sorted_by, matches, others), abs=1e-9)


def test_matches_come_first_among_equals() -> None:
    found = replicate_precisions(
        np.ones((4, 2)),
        np.array([0, 0, 1, 1]),
        np.zeros(4, dtype=int),
        queries=np.array([True, True, False, False]),
        others=np.array([False, False, True, True]),
    )
    assert found.value.tolist() == [1, 1]


def test_without_matches_or_others_nothing_is_scored() -> None:
    alone = np.arange(4)
    everything = np.ones(4, dtype=bool)
    matrix = np.eye(4)
    for group, plate, others in ((alone, alone * 0, everything), (alone * 0, alone, ~everything)):
        found = replicate_precisions(matrix, group, plate, queries=everything, others=others)
        assert len(found.row) == 0
    has = incidence(pd.Series([["A"], ["B"], ["A"], ["A"]]))
    assert len(label_precisions(matrix, has, apart=alone * 0).row) == 0


@pytest.mark.parametrize(("n_positive", "n_total"), [(1, 40), (3, 67), (20, 50), (1382, 1384)])
def test_places_drawn_alone_have_the_null_of_copairs(n_positive, n_total, monkeypatch) -> None:
    monkeypatch.setattr(average_precision, "_MOST_OF_COPAIRS", 0)
    (drawn,) = null_precisions(np.array([[n_positive, n_total]]), NullConfig(size=8000, seed=1))
    shuffled = random_ap(8000, n_positive, n_total, 3)
    assert drawn.mean() == pytest.approx(
        expected_average_precision(n_positive, n_total), abs=float(4 * drawn.std() / 8000**0.5)
    )
    levels = [0.05, 0.25, 0.5, 0.75, 0.95]
    np.testing.assert_allclose(
        np.quantile(drawn, levels), np.quantile(shuffled, levels), atol=0.2 * shuffled.std()
    )


def test_large_numbers_of_candidates_share_a_null() -> None:
    sizes = np.array([[2, 96_012], [2, 96_041], [3, 96_012], [2, 30]])
    nulls = null_precisions(sizes, NullConfig(size=2000, seed=1))
    assert np.array_equal(nulls[0], nulls[1])
    assert not np.array_equal(nulls[0], nulls[2])
    assert np.array_equal(nulls, null_precisions(sizes, NullConfig(size=2000, seed=1)))
    (single,) = null_precisions(np.array([[1, 100_000]]), NullConfig(size=2000, seed=2))
    levels = np.array([0.25, 0.5, 0.75])  # of one match at a random place of N: 1 / (N (1 - level))
    np.testing.assert_allclose(np.quantile(single, levels) * 1e5 * (1 - levels), 1, atol=0.15)
