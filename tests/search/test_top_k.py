"""The closest rows against sorting all of them, and p and q against literal definitions."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import false_discovery_control

from morphoclip.metrics.matrix import unit_rows
from morphoclip.metrics.significance import (
    FEWEST_CONTROLS,
    p_of_means,
    p_of_texts,
    p_of_wells,
    q_values,
)
from morphoclip.search import top_k
from morphoclip.search.top_k import closest_of, similarities


@given(seed=st.integers(0, 2**16), n_rows=st.integers(1, 60), k=st.integers(1, 70))
def test_the_closest_are_those_of_a_stable_sort(seed: int, n_rows: int, k: int) -> None:
    rng = np.random.default_rng(seed)
    similarity = rng.integers(0, 6, size=(3, n_rows)).astype(np.float32)  # many ties
    found = closest_of(similarity, k)
    expected = np.argsort(-similarity, axis=1, kind="stable")[:, :k]
    np.testing.assert_array_equal(found.rows, expected)
    np.testing.assert_array_equal(
        found.similarity, np.take_along_axis(similarity, expected, axis=1)
    )


def test_no_rows_have_no_closest() -> None:
    assert closest_of(np.zeros((2, 0), np.float32), 3).rows.shape == (2, 0)


def test_chunks_of_a_mapped_matrix_give_the_whole_product(tmp_path, monkeypatch) -> None:
    rng = np.random.default_rng(0)
    matrix = rng.standard_normal((101, 7)).astype(np.float32)
    np.save(tmp_path / "matrix.npy", matrix)
    mapped = np.load(tmp_path / "matrix.npy", mmap_mode="r")
    queries = rng.standard_normal((4, 7))
    monkeypatch.setattr(top_k, "CHUNK_ROWS", 10)
    np.testing.assert_allclose(
        similarities(queries, mapped), queries.astype(np.float32) @ matrix.T, rtol=1e-5, atol=1e-6
    )


def test_p_is_the_share_of_controls_that_are_as_similar() -> None:
    controls = np.array([0.1, 0.2, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7])
    similarity = np.array([0.8, 0.7, 0.2, 0.0])
    assert p_of_wells(similarity, controls).tolist() == [1 / 9, 2 / 9, 8 / 9, 1.0]
    assert np.isnan(p_of_wells(similarity, controls[: FEWEST_CONTROLS - 1])).all()


def test_p_of_means_is_even_where_treatments_are_controls() -> None:
    rng = np.random.default_rng(1)
    controls = rng.standard_normal(300)
    n_wells = np.tile([1, 2, 4], 400)
    similarity = np.array([rng.choice(controls, n).mean() for n in n_wells])
    p = p_of_means(similarity, n_wells, controls)
    for number in (1, 2, 4):
        own = p[n_wells == number]
        assert abs(own.mean() - 0.5) < 4 / np.sqrt(12 * len(own))
        assert 0.02 < (own < 0.05).mean() < 0.09
    assert (p_of_means(similarity, n_wells, controls) == p).all(), "the draws are always the same"


@given(seed=st.integers(0, 2**16))
def test_q_is_benjamini_and_hochbergs(seed: int) -> None:
    rng = np.random.default_rng(seed)
    p = rng.integers(1, 12, size=40) / 12
    np.testing.assert_allclose(q_values(p), false_discovery_control(p, method="bh"))
    with_unknown = np.where(rng.random(40) < 0.3, np.nan, p)
    known = np.isfinite(with_unknown)
    q = q_values(with_unknown)
    assert np.isnan(q[~known]).all()
    np.testing.assert_allclose(q[known], false_discovery_control(with_unknown[known], method="bh"))


@pytest.mark.parametrize("n_wells", [1, 4])
def test_p_of_texts_is_even_where_a_treatment_is_controls(n_wells: int) -> None:
    """The question is a unit vector, and so is what it is held against."""
    rng = np.random.default_rng(5)
    controls = unit_rows(rng.standard_normal((60, 64)) + 0.5)
    texts = unit_rows(rng.standard_normal((8, 64)))
    found = []
    for _ in range(150):
        drawn = unit_rows(controls[rng.integers(60, size=n_wells)].mean(axis=0)[None])
        found.append(p_of_texts((drawn @ texts.T)[0], n_wells, controls, texts))
    p = np.concatenate(found)
    assert abs(p.mean() - 0.5) < 0.06
    assert 0.01 < (p < 0.05).mean() < 0.09
    assert np.isnan(p_of_texts(np.zeros(8), n_wells, controls[:7], texts)).all()


def test_nothing_known_has_no_q() -> None:
    assert np.isnan(q_values(np.full(3, np.nan))).all()


@pytest.mark.parametrize("n_wells", [1, 3])
def test_few_controls_give_no_p(n_wells: int) -> None:
    p = p_of_means(np.zeros(2), np.full(2, n_wells), np.zeros(FEWEST_CONTROLS - 1))
    assert np.isnan(p).all()
