"""Rows per perturbation, intervals and baselines."""

import re

import numpy as np
import pandas as pd
import pytest
from sklearn.kernel_ridge import KernelRidge
from sklearn.linear_model import Ridge
from sklearn.preprocessing import normalize

from morphoclip.columns import MODALITY
from morphoclip.evaluation.baseline_comparison import (
    compare_methods,
    comparison_sentence,
    headline_comparison,
    single_split_sentence,
)
from morphoclip.evaluation.baselines import (
    BASELINES,
    FITS,
    STRENGTHS,
    BaselineData,
    baseline_similarities,
)
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
    both = summary[summary["direction"] == "both"]
    mrr = both.set_index(["scope", "metric", "method"]).sort_index()
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
    row = headline_comparison(summary).iloc[0]
    means = many.groupby("Metadata_prompt_digest")["mrr"].mean()
    expected = 2 * 1.96 * means.std(ddof=0) / np.sqrt(len(means))
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
        facts=np.zeros((n, 0)),
        fact_sizes={},
        ngrams=rng.standard_normal((n, 5)),
        genes=[frozenset({f"G{i % 6}"}) for i in range(n)],
        mechanisms=[frozenset() for _ in range(n)],
        structures=[frozenset() for _ in range(n)],
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
    assert mrr["kernel_cca"] > 0.8
    assert mrr["permuted_text"] == pytest.approx(chance, abs=0.08)
    assert mrr["nearest_mechanism"] == pytest.approx(chance), "nothing is known: all tie"
    assert set(mrr) == {
        "ridge", "kernel_ridge", "two_way_kernel_ridge", "cca", "kernel_cca",
        "kernel_ridge_ngrams", "permuted_text", "nearest_target", "nearest_mechanism",
    }  # fmt: skip


def test_both_ways_add_the_cosines_of_two_regressions() -> None:
    """Against the normal equations, written out."""
    train, held_out = planted(30, 1), planted(7, 2)
    data = BaselineData.of(train, held_out)
    found = FITS["two_way_kernel_ridge"](data, [0.7, 0.1])[1]

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
    np.testing.assert_allclose(found, expected, atol=1e-9)


def test_canonical_correlations_are_those_of_shrunk_covariances() -> None:
    """Against inverse square roots of the covariances, written out."""
    train, held_out = planted(90, 1), planted(9, 2)
    data = BaselineData.of(train, held_out)
    found = FITS["cca"](data, [0.3, 1.0])[1]  # shrunk three quarters of the way

    def inverse_root(rows: np.ndarray) -> np.ndarray:
        values, vectors = np.linalg.eigh(rows.T @ rows / len(rows))
        return vectors @ np.diag(((values + 3 * values.mean()) / 4) ** -0.5) @ vectors.T

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


def test_ridges_are_those_of_scikit_learn() -> None:
    data = BaselineData.of(planted(40, 1), planted(9, 2))
    mean = data.train_text.mean(axis=0)
    texts = normalize(data.held_out_text - mean)
    scale = (data.train_image**2).sum() / data.train_image.shape[1]
    squared = 2 - 2 * data.train_image @ data.train_image.T
    gamma = 1 / np.median(squared[np.triu_indices(40, 1)])
    for name, regression in (
        ("ridge", Ridge(alpha=0.3 * scale, fit_intercept=False)),
        ("kernel_ridge", KernelRidge(kernel="rbf", gamma=gamma, alpha=0.3)),
    ):
        regression.fit(data.train_image, data.train_text - mean)
        expected = normalize(regression.predict(data.held_out_image)) @ texts.T
        np.testing.assert_allclose(FITS[name](data, [0.3])[0], expected, atol=1e-9)


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


def test_both_directions_are_ranked_and_their_mean_comes_first() -> None:
    rng = np.random.default_rng(3)
    similarity = rng.random((12, 12))
    table = rows(similarity, "model")
    turned = rows(similarity.T, "model")
    there = table[table["direction"] == "image_to_text"].reset_index(drop=True)
    back = turned[turned["direction"] == "text_to_image"].reset_index(drop=True)
    pd.testing.assert_series_equal(there["mrr"], back["mrr"])
    headline = headline_comparison(compare_methods(table, Bootstrap(200, 0))).iloc[0]
    by_direction = table.groupby("direction")["mrr"].mean()
    assert headline["image_to_text"] == pytest.approx(by_direction["image_to_text"])
    assert headline["value"] == pytest.approx(by_direction.mean())
    assert by_direction.iloc[0] != by_direction.iloc[1]


def test_strength_is_chosen_on_folds_of_train_and_the_held_out_are_not_looked_at() -> None:
    train, held_out = planted(60, 1, noise=0.8), planted(20, 2)
    data = BaselineData.of(train, held_out)
    other = BaselineData.of(train, planted(20, 5))
    for name, fit in FITS.items():
        draws = BASELINES[name](data, np.random.default_rng(0))
        same = [s for s in STRENGTHS if np.allclose(fit(data, [s])[0], draws[0])]
        again = BASELINES[name](other, np.random.default_rng(0))
        assert len(same) == 1, name
        assert np.allclose(fit(other, same)[0], again[0]), name


def test_facts_are_read_by_the_methods_that_are_named_after_them() -> None:
    """Images show a fact that no word says."""
    rng = np.random.default_rng(0)

    def with_fact(n: int, seed: int) -> PerturbationSet:
        own = planted(n, seed)
        kinds = np.arange(n) % 10
        facts = np.eye(10)[kinds]
        look = facts @ np.random.default_rng(7).standard_normal((10, 20))
        words = rng.standard_normal((n, 8))
        seen = {"image": look + 0.1 * rng.standard_normal((n, 20)), "text": words}
        return PerturbationSet(**vars(own) | seen | {"facts": facts, "fact_sizes": {"target": 10}})

    train, held_out = with_fact(100, 1), with_fact(10, 2)
    found = baseline_similarities(BaselineData.of(train, held_out), seed=0)
    for name in ("two_way_kernel_ridge", "cca", "kernel_cca"):
        assert mrr_of(found[f"{name}_facts"], held_out) > 0.9, name
        assert mrr_of(found[name], held_out) < 0.6, name
    plain = baseline_similarities(BaselineData.of(planted(30, 1), planted(9, 2)), seed=0)
    assert not [name for name in plain if name.endswith("_facts")]


def test_a_structure_is_ranked_by_the_image_of_the_most_similar_one() -> None:
    train, held_out = planted(6, 1), planted(3, 2)
    sets = [frozenset({n, n + 1, n + 2, n + 3}) for n in range(0, 60, 10)]
    known = [sets[4], sets[0] | {99}, frozenset()]
    look = np.random.default_rng(0).standard_normal((6, 20))
    data = BaselineData.of(
        PerturbationSet(**vars(train) | {"structures": sets, "image": look}),
        PerturbationSet(**vars(held_out) | {"structures": known, "image": look[[4, 0, 2]]}),
    )
    (found,) = BASELINES["nearest_structure"](data, np.random.default_rng(0))
    similarity = data.held_out_image @ data.train_image.T
    np.testing.assert_allclose(found[:, 0], similarity[:, 4])
    np.testing.assert_allclose(found[:, 1], similarity[:, 0])
    np.testing.assert_allclose(found[:, 2], similarity.mean(axis=1))
