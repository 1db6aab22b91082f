"""Rows per perturbation, intervals and baselines."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import normalize

from morphoclip.columns import MODALITY
from morphoclip.evaluation.baseline_comparison import (
    compare_methods,
    comparison_sentence,
    single_split_sentence,
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


def test_one_split_gives_no_verdict_but_the_lead_and_its_interval() -> None:
    rng = np.random.default_rng(0)
    better, worse = rows(np.eye(12), "model"), rows(np.ones((12, 12)), "blind_guess")
    middle = rows(np.eye(12) + 2 * rng.random((12, 12)), "kernel_ridge")
    sentence = single_split_sentence(
        compare_methods(pd.concat([better, worse, middle]), Bootstrap(500, 0))
    )
    assert sentence.startswith("One split of 12 perturbations does not rank methods.")
    assert "kernel ridge, the strongest of 2 other methods" in sentence
    assert "significantly" not in sentence
    low, high = map(float, re.findall(r"from ([+-]\d\.\d+) to ([+-]\d\.\d+)", sentence)[0])
    lead = float(re.findall(r"lead of ([+-]\d\.\d+)", sentence)[0])
    assert 0 <= low <= lead <= high
    assert lead == pytest.approx((better["mrr"] - middle["mrr"]).mean(), abs=1e-3)
    alone = single_split_sentence(compare_methods(better, Bootstrap(200, 0)))
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
    assert mrr["two_way_kernel_ridge"] > 0.8
    assert mrr["cca"] > 0.8
    assert mrr["permuted_text"] == pytest.approx(chance, abs=0.08)
    assert mrr["nearest_mechanism"] == pytest.approx(chance), "nothing is known: all tie"
    assert set(mrr) == {
        "ridge", "kernel_ridge", "two_way_kernel_ridge", "cca", "kernel_ridge_ngrams",
        "permuted_text", "nearest_target", "nearest_mechanism",
    }  # fmt: skip


def test_both_ways_add_the_cosines_of_two_regressions() -> None:
    """Against the normal equations, written out."""
    train, held_out = planted(30, 1), planted(7, 2)
    data = BaselineData.of(train, held_out)
    found = baseline_similarities(data, seed=0)

    def predicted(seen: np.ndarray, wanted: np.ndarray, asked: np.ndarray) -> np.ndarray:
        squared = ((seen[:, None] - seen[None]) ** 2).sum(axis=-1)
        width = np.median(squared[np.triu_indices(len(seen), 1)])
        weights = np.linalg.solve(np.exp(-squared / width) + 0.1 * np.eye(len(seen)), wanted)
        across = ((asked[:, None] - seen[None]) ** 2).sum(axis=-1)
        return np.exp(-across / width) @ weights

    mean = train.text.mean(axis=0)
    text, held_out_text = train.text - mean, normalize(held_out.text - mean)
    to_text = predicted(data.train_image, text, data.held_out_image)
    to_image = predicted(normalize(text), data.train_image, held_out_text)
    expected = normalize(to_text) @ held_out_text.T + data.held_out_image @ normalize(to_image).T
    np.testing.assert_allclose(found["two_way_kernel_ridge"][0], expected, atol=1e-9)


def test_canonical_correlations_are_those_of_shrunk_covariances() -> None:
    """Against inverse square roots of the covariances, written out."""
    train, held_out = planted(90, 1), planted(9, 2)
    data = BaselineData.of(train, held_out)
    (found,) = baseline_similarities(data, seed=0)["cca"]

    def inverse_root(rows: np.ndarray) -> np.ndarray:
        values, vectors = np.linalg.eigh(rows.T @ rows / len(rows))
        return vectors @ np.diag(((values + values.mean()) / 2) ** -0.5) @ vectors.T

    mean = train.text.mean(axis=0)
    text = train.text - mean
    of_image, of_text = inverse_root(data.train_image), inverse_root(text)
    left, sizes, right = np.linalg.svd(
        of_image @ data.train_image.T @ text @ of_text / len(text), full_matrices=False
    )
    image_side = data.held_out_image @ of_image @ left @ np.diag(sizes)
    text_side = (held_out.text - mean) @ of_text @ right.T
    expected = normalize(image_side) @ normalize(text_side).T
    np.testing.assert_allclose(found, expected, atol=1e-9)


@pytest.mark.parametrize("constant", ["image", "text"])
def test_where_one_side_does_not_vary_canonical_correlations_tie(constant: str) -> None:
    train, held_out = planted(9, 1), planted(5, 2)
    same = {constant: np.ones_like(getattr(train, constant))}
    found = baseline_similarities(
        BaselineData.of(PerturbationSet(**vars(train) | same), held_out), seed=0
    )
    assert (found["cca"][0] == 0).all()


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
