"""Retrieval against toys, closed forms, brute force, and collapse."""

import math
from itertools import permutations

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from sklearn.metrics import average_precision_score

from morphoclip.metrics import query_metrics as query_metrics_module
from morphoclip.metrics import retrieval
from morphoclip.metrics.chance import chance_metrics
from morphoclip.metrics.query_metrics import Block, query_metrics
from morphoclip.metrics.retrieval import (
    consensus_profiles,
    mrr_within_modality,
    permutation_test,
    retrieval_table,
    texts_by_modality,
)

TOY = np.array([[0.9, 0.1, 0], [0.8, 0.7, 0.2], [0.1, 0.3, 0.2]])
DIAGONAL = np.eye(3, dtype=bool)


def test_toy_of_three_wells_and_three_texts() -> None:
    wells = query_metrics(Block(TOY, DIAGONAL))
    assert wells["rank"].tolist() == [1, 2, 2]
    assert wells["recall@1"].mean() == pytest.approx(1 / 3)
    assert wells["recall@5"].mean() == 1
    assert wells["mrr"].mean() == pytest.approx(2 / 3)
    texts = query_metrics(Block(TOY.T, DIAGONAL))
    assert texts["rank"].tolist() == [1, 1, 1.5], "wells 2 and 3 tie at .2 for text 3"


def test_average_precision_toy() -> None:
    scores = np.array([[4.0, 3, 2, 1]])
    metrics = query_metrics(Block(scores, np.array([[True, False, True, False]])))
    assert metrics["map@1"].item() == 1
    assert metrics["map@5"].item() == pytest.approx(0.8333333)


def test_all_ties_score_chance() -> None:
    metrics = query_metrics(Block(np.zeros((20, 20)), np.eye(20, dtype=bool)))
    for k in (1, 5, 10):
        assert metrics[f"recall@{k}"].mean() == pytest.approx(k / 20)
    assert metrics["rank"].mean() == pytest.approx(10.5)
    chance = chance_metrics(20, 1)
    for name in ("mrr", "map@1", "map@5", "map@10"):
        assert metrics[name].mean() == pytest.approx(chance[name])


@given(seed=st.integers(0, 2**16), n_true=st.integers(1, 3))
def test_ties_take_the_mean_over_all_orders_of_the_tied(seed: int, n_true: int) -> None:
    """Brute force: break ties in every possible way and average."""
    rng = np.random.default_rng(seed)
    scores = rng.integers(0, 3, 5).astype(float)
    relevant = np.zeros(5, dtype=bool)
    relevant[rng.permutation(5)[:n_true]] = True
    metrics = query_metrics(Block(scores[None], relevant[None])).iloc[0]
    firsts, precisions = [], []
    for order in permutations(range(5)):
        ranked = relevant[np.lexsort((np.array(order), -scores))]
        firsts.append(int(np.flatnonzero(ranked)[0]) + 1)
        hits = np.cumsum(ranked) / np.arange(1, 6) * ranked
        precisions.append(hits.sum() / n_true)
    assert metrics["mrr"] == pytest.approx(np.mean(1 / np.array(firsts)))
    assert metrics["rank"] == pytest.approx(np.mean(firsts))
    assert metrics["recall@1"] == pytest.approx(np.mean(np.array(firsts) == 1))
    assert metrics["map@5"] == pytest.approx(np.mean(precisions))


@given(seed=st.integers(0, 2**16))
def test_average_precision_without_ties_is_scikit_learns(seed: int) -> None:
    rng = np.random.default_rng(seed)
    scores, relevant = rng.random((1, 10)), rng.random((1, 10)) < 0.4
    relevant[0, 0] = True
    ours = query_metrics(Block(scores, relevant))["map@10"].item()
    assert ours == pytest.approx(average_precision_score(relevant[0], scores[0]))


@pytest.mark.parametrize(("n_texts", "mrr"), [(98, 0.0527), (86, 0.0586)])
def test_chance_of_the_published_populations(n_texts: int, mrr: float) -> None:
    chance = chance_metrics(n_texts, 1)
    assert chance["mrr"] == pytest.approx(mrr, abs=5e-5)
    assert chance["recall@10"] == pytest.approx(10 / n_texts)
    assert chance["map@10"] == pytest.approx(sum(1 / r for r in range(1, 11)) / n_texts)


def test_chance_with_several_truths_is_the_hypergeometric() -> None:
    chance = chance_metrics(12, 4)
    assert chance["recall@5"] == pytest.approx(1 - math.comb(8, 5) / math.comb(12, 5))
    rng = np.random.default_rng(0)
    relevant = np.tile(np.arange(12) < 4, (20_000, 1))
    drawn = query_metrics(Block(rng.random((20_000, 12)), relevant)).mean()
    for name in ("mrr", "map@1", "map@5", "map@10", "recall@1"):
        assert chance[name] == pytest.approx(drawn[name], abs=0.01)


def unit(rows: int, dim: int = 6, seed: int = 0) -> np.ndarray:
    vectors = np.random.default_rng(seed).standard_normal((rows, dim))
    return vectors / np.linalg.norm(vectors, axis=1, keepdims=True)


PROMPTS = np.repeat(np.arange(10), 3)
MODALITY = np.array(["compound"] * 6 + ["crispr"] * 4)


def table_of(image: np.ndarray, text: np.ndarray, prompts: np.ndarray = PROMPTS) -> object:
    rows = retrieval_table(image, prompts, text, MODALITY)
    return rows.set_index(["scope", "level", "direction", "metric"])["value"]


def test_perfect_embeddings_score_one_everywhere() -> None:
    text = unit(10)
    values = table_of(text[PROMPTS], text)
    for metric in ("recall@1", "mrr", "map@1", "median_rank"):
        assert (values.xs(metric, level="metric") == 1).all()


def test_a_collapsed_model_scores_chance_everywhere() -> None:
    one = np.tile(unit(1), (30, 1))
    rows = retrieval_table(one, PROMPTS, one[:10], MODALITY)
    rows = rows[rows["metric"] != "median_rank"]
    np.testing.assert_allclose(rows["value"], rows["chance"], atol=1e-9)


def test_repeating_every_well_changes_no_image_to_text_number() -> None:
    image, text = unit(30, seed=1), unit(10, seed=2)
    once = table_of(image, text).xs("image_to_text", level="direction")
    often = table_of(np.repeat(image, 24, axis=0), text, np.repeat(PROMPTS, 24))
    np.testing.assert_allclose(often.xs("image_to_text", level="direction"), once)


def test_within_modality_ranks_candidates_of_the_querys_own_kind() -> None:
    text = unit(10)
    crossed = text[np.roll(np.arange(10), 5)]  # right only about nothing
    knows_modality = np.where(np.arange(10)[:, None] < 6, unit(1, seed=8), unit(1, seed=9))
    rows = retrieval_table(knows_modality[PROMPTS], PROMPTS, knows_modality, MODALITY)
    rows = rows.set_index(["scope", "level", "direction", "metric"])
    key = ("perturbation", "image_to_text", "mrr")
    overall, within = rows.loc[("overall", *key)], rows.loc[("within_modality", *key)]
    assert overall["value"] > 1.5 * overall["chance"]
    assert within["value"] == pytest.approx(within["chance"])
    assert within["n_candidates"] == 6
    assert table_of(crossed[PROMPTS], text)[("overall", *key)] < 1


def test_consensus_is_the_direction_of_the_mean() -> None:
    image = np.array([[1.0, 0], [0, 1], [-1, 0], [1, 0]])
    profiles = consensus_profiles(image, np.array([0, 0, 1, 1]), 2)
    np.testing.assert_allclose(profiles, [[0.5**0.5, 0.5**0.5], [0, 0]])


def test_permutations_of_noise_are_unremarkable_and_of_truth_are_not() -> None:
    text = unit(10)
    truth = texts_by_modality(text[PROMPTS], PROMPTS, text, MODALITY)
    told = permutation_test(truth, null_size=2000, seed=1)
    assert told["value"] == 1
    assert told["p_value"] == pytest.approx(1 / 2001, rel=2)
    expected = (6 * chance_metrics(6, 1)["mrr"] + 4 * chance_metrics(4, 1)["mrr"]) / 10
    assert told["null_mean"] == pytest.approx(expected, abs=0.01)
    ties = texts_by_modality(np.ones((30, 6)), PROMPTS, np.ones((10, 6)), MODALITY)
    flat = permutation_test(ties, null_size=500, seed=1)
    assert flat["p_value"] == 1
    assert flat["value"] == pytest.approx(expected)


def test_recognising_the_modality_reaches_the_oracle_and_no_more() -> None:
    knows_modality = (MODALITY[:, None] == np.unique(MODALITY)[None, :]).astype(float)
    rows = retrieval_table(knows_modality[PROMPTS], PROMPTS, knows_modality, MODALITY)
    overall = rows[(rows["scope"] == "overall") & (rows["metric"] != "median_rank")]
    np.testing.assert_allclose(overall["value"], overall["modality_oracle"], atol=1e-9)
    assert (overall["modality_oracle"] >= overall["chance"]).all()
    first = overall[overall["metric"] == "recall@1"]
    assert (first["modality_oracle"] > first["chance"]).all()
    within = rows[rows["scope"] == "within_modality"]
    np.testing.assert_allclose(within["modality_oracle"], within["chance"])


def test_intervals_hold_the_value_and_shrink_to_it_without_spread() -> None:
    rng = np.random.default_rng(0)
    text = rng.standard_normal((10, 6))
    image = text[PROMPTS] + 1.5 * rng.standard_normal((30, 6))
    rows = retrieval_table(image, PROMPTS, text, MODALITY)
    means = rows[rows["metric"] != "median_rank"]
    assert (means["ci_low"] <= means["value"] + 1e-12).all()
    assert (means["value"] <= means["ci_high"] + 1e-12).all()
    wide = means[(means["scope"] == "overall") & (means["metric"] == "mrr")]
    assert (wide["ci_high"] - wide["ci_low"] > 0.05).all()
    perfect = retrieval_table(np.eye(10)[PROMPTS], PROMPTS, np.eye(10), MODALITY)
    sure = perfect[perfect["metric"] == "mrr"]
    np.testing.assert_allclose(sure["ci_low"], 1)


def test_wells_of_one_perturbation_are_drawn_together() -> None:
    """24 copies of every well must not make an interval narrower."""
    rng = np.random.default_rng(0)
    text = rng.standard_normal((10, 6))
    image = text + 1.5 * rng.standard_normal((10, 6))
    few = retrieval_table(image, np.arange(10), text, MODALITY)
    many = retrieval_table(
        np.repeat(image, 24, axis=0), np.repeat(np.arange(10), 24), text, MODALITY
    )
    chosen = [
        table.query("level == 'well' and direction == 'image_to_text' and metric == 'mrr'")
        for table in (few, many)
    ]
    np.testing.assert_allclose(chosen[0]["ci_high"], chosen[1]["ci_high"])
    np.testing.assert_allclose(chosen[0]["ci_low"], chosen[1]["ci_low"])


def test_few_similarities_at_a_time_change_nothing(monkeypatch) -> None:
    """At 100,000 texts all of them are 80 GB."""
    rng = np.random.default_rng(5)
    text = unit(10)
    image = text[PROMPTS] + 0.5 * rng.standard_normal(text[PROMPTS].shape)
    own = texts_by_modality(image, PROMPTS, text, MODALITY)
    table = retrieval_table(image, PROMPTS, text, MODALITY)
    tested = permutation_test(own, null_size=300, seed=1)
    at_once = mrr_within_modality(image, PROMPTS, text, MODALITY)
    for module in (retrieval, query_metrics_module):
        monkeypatch.setattr(module, "SIMILARITIES_AT_A_TIME", 37)
    monkeypatch.setattr(retrieval, "_PERMUTED_AT_A_TIME", 70)
    pd.testing.assert_frame_equal(retrieval_table(image, PROMPTS, text, MODALITY), table)
    in_parts = permutation_test(own, null_size=300, seed=1)
    assert in_parts == pytest.approx(tested, abs=1e-12)
    assert mrr_within_modality(image, PROMPTS, text, MODALITY) == pytest.approx(at_once, abs=1e-12)
