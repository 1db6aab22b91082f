"""Rows per perturbation, intervals and baselines."""

import numpy as np
import pandas as pd
import pytest

from morphoclip.columns import MODALITY
from morphoclip.evaluation.baseline_comparison import (
    compare_methods,
    comparison_sentence,
)
from morphoclip.evaluation.baselines import BaselineData, baseline_similarities
from morphoclip.evaluation.per_perturbation import retrieval_rows
from morphoclip.evaluation.perturbation_sets import PerturbationSet
from morphoclip.metrics.bootstrap import Bootstrap
from morphoclip.schemas.evaluation import BASELINE_COMPARISON, PER_PERTURBATION_RETRIEVAL

DIGESTS = np.array([f"d{n}" for n in range(12)])
MODALITY_OF = np.array(["compound"] * 8 + ["crispr"] * 4)


def rows(similarity: np.ndarray, method: str) -> pd.DataFrame:
    return retrieval_rows(similarity, DIGESTS, MODALITY_OF, method)


def test_a_perfect_method_and_a_blind_one() -> None:
    perfect, blind = rows(np.eye(12), "model"), rows(np.ones((12, 12)), "blind")
    assert (PER_PERTURBATION_RETRIEVAL.validate(perfect)["mrr"] == 1).all()
    assert blind["mrr"].to_numpy() == pytest.approx(blind["mrr_chance"].to_numpy())
    assert blind.groupby(MODALITY)["n_candidates"].first().to_dict() == {"compound": 8, "crispr": 4}


def test_candidates_are_of_the_querys_modality() -> None:
    knows_modality = (MODALITY_OF[:, None] != MODALITY_OF[None, :]).astype(float)
    assert rows(knows_modality, "m")["mrr"].to_numpy() == pytest.approx(
        rows(np.zeros((12, 12)), "m")["mrr"].to_numpy()
    )


def test_intervals_and_differences_are_over_the_same_perturbations() -> None:
    better = rows(np.eye(12), "model")
    worse = rows(np.ones((12, 12)), "blind")
    summary = BASELINE_COMPARISON.validate(
        compare_methods(pd.concat([better, worse]), Bootstrap(500, 0))
    )
    mrr = summary.set_index(["scope", "metric", "method"]).sort_index()
    model = mrr.loc[("within_modality", "mrr", "model")]
    numbers = model[["value", "ci_low", "ci_high", "difference"]].tolist()
    assert numbers == pytest.approx([1, 1, 1, 0])
    blind = mrr.loc[("within_modality", "mrr", "blind")]
    assert blind["difference"] == pytest.approx(blind["value"] - 1)
    assert blind["difference_high"] < 0
    assert "model leads blind significantly" in comparison_sentence(summary)
    swapped = pd.concat([better.assign(method="other"), worse.assign(method="model")])
    assert "model trails other significantly" in comparison_sentence(
        compare_methods(swapped, Bootstrap(500, 0))
    )
    same = pd.concat([better, better.assign(method="twin")])
    assert "does not differ from twin" in comparison_sentence(
        compare_methods(same, Bootstrap(500, 0))
    )


def test_a_method_that_ranked_only_some_perturbations_cannot_be_compared() -> None:
    model = rows(np.eye(12), "model")
    half = rows(np.eye(12), "half").head(6)
    sentence = comparison_sentence(compare_methods(pd.concat([model, half]), Bootstrap(200, 0)))
    assert "cannot be compared with half" in sentence
    alone = comparison_sentence(compare_methods(model, Bootstrap(200, 0)))
    assert alone == "No other method ranked the same perturbations."


def test_the_interval_is_about_as_wide_as_the_standard_error_says() -> None:
    rng = np.random.default_rng(0)
    queries = rows(rng.random((12, 12)), "model")
    many = pd.concat(
        [
            queries.assign(Metadata_prompt_digest=queries["Metadata_prompt_digest"] + f"-{n}")
            for n in range(40)
        ]
    )
    summary = compare_methods(many, Bootstrap(4000, 0))
    row = summary[(summary["scope"] == "within_modality") & (summary["metric"] == "mrr")].iloc[0]
    expected = 2 * 1.96 * many["mrr"].std(ddof=0) / np.sqrt(len(many))
    assert row["ci_high"] - row["ci_low"] == pytest.approx(expected, rel=0.08)


def planted(n: int, seed: int, noise: float = 0.1) -> PerturbationSet:
    """Image features that are a rotation of text features, plus noise."""
    rng = np.random.default_rng(seed)
    text = rng.standard_normal((n, 8))
    rotation = np.linalg.qr(np.random.default_rng(99).standard_normal((20, 8)))[0]
    return PerturbationSet(
        digests=np.array([f"{seed}-{i}" for i in range(n)]),
        modality=np.array(["compound"] * n),
        image=text @ rotation.T + noise * rng.standard_normal((n, 20)),
        text=text,
        ngrams=rng.standard_normal((n, 5)),
        genes=[frozenset({f"G{i % 6}"}) for i in range(n)],
        mechanisms=[frozenset() for _ in range(n)],
    )


def mrr_of(similarities: list[np.ndarray], held_out: PerturbationSet) -> float:
    tables = [retrieval_rows(s, held_out.digests, held_out.modality, "x") for s in similarities]
    return float(np.mean([table["mrr"].mean() for table in tables]))


def test_regressions_find_what_is_planted_and_permuted_texts_do_not() -> None:
    train, held_out = planted(120, 1), planted(20, 2)
    mrr = {
        name: mrr_of(draws, held_out)
        for name, draws in baseline_similarities(BaselineData.of(train, held_out), seed=0).items()
    }
    chance = sum(1 / n for n in range(1, 21)) / 20
    assert mrr["ridge"] > 0.9
    assert mrr["kernel_ridge"] > 0.8
    assert mrr["permuted_text"] == pytest.approx(chance, abs=0.08)
    assert mrr["nearest_mechanism"] == pytest.approx(chance), "nothing is known: all tie"
    assert set(mrr) == {
        "ridge", "kernel_ridge", "kernel_ridge_ngrams", "permuted_text", "nearest_target",
        "nearest_mechanism",
    }  # fmt: skip


def test_the_nearest_known_relative_speaks_for_the_words() -> None:
    train, held_out = planted(6, 1), planted(6, 2)
    rng = np.random.default_rng(0)
    look = rng.standard_normal((6, 20))
    as_train = {"image": look}
    similar = {"image": look + 0.01 * rng.standard_normal((6, 20))}
    data = BaselineData.of(
        PerturbationSet(**vars(train) | as_train), PerturbationSet(**vars(held_out) | similar)
    )
    scores = baseline_similarities(data, seed=0)["nearest_target"]
    assert mrr_of(scores, held_out) == 1
