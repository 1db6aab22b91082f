"""Profiles against profiles: toys, planted effects, noise."""

import numpy as np
import pandas as pd
import pytest
from sklearn.metrics import roc_auc_score
from sklearn.preprocessing import normalize
from synthetic_profiles import layout, noise

from morphoclip.columns import (
    BROAD_SAMPLE,
    CONDITION,
    GENE,
    MODALITY,
    PLATE,
    REFERENCE,
    ROLE,
    TARGET_LIST,
)
from morphoclip.metrics.embedding_quality import (
    effective_rank,
    embedding_quality,
    first_component_share,
    mean_cosine,
    plate_silhouette,
    uniformity,
)
from morphoclip.metrics.matching import (
    gene_matching,
    identification,
    separation_from_controls,
    similarity_to_controls,
)
from morphoclip.schemas.evaluation import EMBEDDING_QUALITY, MATCHING_METRICS


def test_the_similarity_to_controls_toy() -> None:
    table = pd.DataFrame(
        {PLATE: "P", ROLE: ["negcon"] * 3 + ["trt"], REFERENCE: False, BROAD_SAMPLE: list("nnnt")}
    )
    matrix = np.array([[1.0, 0], [1, 0], [0, 1], [-1, 0]])
    nsc = similarity_to_controls(table, matrix)
    assert nsc.iloc[3] == pytest.approx(-3.3455908, abs=1e-6)
    assert nsc.iloc[:3].mean() == pytest.approx(0, abs=1e-9)


def test_two_controls_or_controls_all_alike_give_no_score() -> None:
    table = pd.DataFrame({PLATE: "P", ROLE: ["negcon"] * 4 + ["trt"], REFERENCE: [0, 0, 1, 1, 0]})
    assert similarity_to_controls(table, np.random.default_rng(0).random((5, 3))).isna().all()
    alike = table.assign(**{REFERENCE: False})
    assert similarity_to_controls(alike, np.ones((5, 3))).isna().all()


def test_separation_is_the_auroc() -> None:
    table = layout()
    matrix = noise(table)
    treated = (table[ROLE] == "trt").to_numpy()
    matrix[~treated] += 1.5
    common = np.ones(16)
    rows = MATCHING_METRICS.validate(separation_from_controls(table, matrix))
    values = rows.set_index(["metric", "stratum"])["value"]
    nsc = similarity_to_controls(table, matrix)
    assert values["auroc", "all"] == pytest.approx(roc_auc_score(treated, -nsc))
    assert values["auroc", "all"] > 0.9
    assert values["fraction_far", "all"] > 0.9
    blind = separation_from_controls(table, noise(table) + common)
    assert blind["value"].iloc[0] == pytest.approx(0.5, abs=0.06)


def test_empty_wells_are_not_treated() -> None:
    table = layout()
    matrix = noise(table) + 1
    before = separation_from_controls(table, matrix)
    empty = table.index[:3]
    table.loc[empty, ROLE] = "empty"
    matrix[empty] = -100
    after = separation_from_controls(table, matrix)
    assert after["value"].iloc[0] == pytest.approx(before["value"].iloc[0], abs=0.02)


def test_profiles_centred_on_the_controls_have_no_similarity_to_them() -> None:
    table = layout()
    matrix = noise(table)
    for plate in table[PLATE].unique():
        own = (table[PLATE] == plate).to_numpy()
        matrix[own] -= matrix[own & (table[ROLE] == "negcon").to_numpy()].mean(axis=0)
    assert similarity_to_controls(table, matrix).isna().all()
    assert separation_from_controls(table, matrix).empty


def test_identification_looks_at_other_plates_only() -> None:
    table = layout(3)
    codes = pd.factorize(table[BROAD_SAMPLE], sort=True)[0]
    effect = np.random.default_rng(1).standard_normal((41, 16))[codes]
    for matrix, low, high in ((effect + 0.2 * noise(table), 0.95, 1), (noise(table), 0, 0.1)):
        rows = MATCHING_METRICS.validate(identification(table, matrix))
        first = rows[(rows["metric"] == "recall@1") & (rows["stratum"] == "all")].iloc[0]
        assert low <= first["value"] <= high
        assert first["chance"] == pytest.approx(1 / 40)
        assert first["n"] == 120
    alone = table[table[PLATE] == table[PLATE].iloc[0]].reset_index(drop=True)
    assert identification(alone, noise(alone)).empty, "a gallery of the query's own plate"


def genes_across() -> tuple[pd.DataFrame, np.ndarray]:
    both = pd.concat([layout(), layout(modality="crispr")], ignore_index=True)
    listed = both[GENE].where(both[MODALITY] == "compound")
    both[TARGET_LIST] = listed + "|OTHER"
    genes = pd.factorize(both[GENE].fillna("none"), sort=True)[0]
    return both, np.random.default_rng(4).standard_normal((21, 24))[genes]


@pytest.mark.parametrize(("sign", "cosine"), [(1, 1.0), (-1, 0.0)])
def test_compounds_find_their_genes_by_cosine_or_by_its_size(sign: int, cosine: float) -> None:
    table, effect = genes_across()
    opposite = np.where((table[MODALITY] == "compound").to_numpy(), sign, 1)[:, None]
    rows = MATCHING_METRICS.validate(
        gene_matching(table, opposite * effect + 0.05 * noise(table, dim=24))
    )
    first = rows[(rows["metric"] == "recall@1") & (rows["stratum"] == "all")]
    values = {
        track.split(", ")[1]: value
        for track, value in zip(first["track"], first["value"], strict=True)
    }
    assert values["abs_cosine"] > 0.95
    assert values["cosine"] == pytest.approx(cosine, abs=0.1)
    assert (first["n"] == 40).all()


def test_compounds_without_a_candidate_are_left_out() -> None:
    table, effect = genes_across()
    strange = (table[MODALITY] == "compound") & (table[GENE] == "G3")
    table.loc[strange, [GENE, TARGET_LIST]] = "NOWHERE"
    rows = gene_matching(table, effect)
    assert (rows.loc[rows["stratum"] == "all", "n"] == 38).all()


def test_uniformity_of_known_layouts() -> None:
    square = np.array([[1.0, 0], [-1, 0], [0, 1], [0, -1]])
    assert uniformity(square[:2]) == pytest.approx(-8)
    assert uniformity(square[[0, 2]]) == pytest.approx(-4)
    assert uniformity(np.ones((3, 1))) == pytest.approx(0)
    assert uniformity(square) == pytest.approx(-4.3963490, abs=1e-6)


def test_silhouettes_of_known_layouts() -> None:
    table = pd.DataFrame({PLATE: list("AABB"), MODALITY: "compound", CONDITION: "compound"})
    apart = np.array([[1.0, 0], [1, 0], [0, 1], [0, 1]])
    assert plate_silhouette(table, apart) == pytest.approx(1)
    mixed = pd.DataFrame({PLATE: list("ABAB"), MODALITY: "compound", CONDITION: "compound"})
    assert plate_silhouette(mixed, apart) == pytest.approx(-0.5)
    one_each = table.assign(**{CONDITION: ["x", "x", "y", "y"]})
    assert np.isnan(plate_silhouette(one_each, apart)), "a condition of one plate says nothing"


def test_signs_of_collapse() -> None:
    spread = normalize(np.random.default_rng(0).standard_normal((200, 8)))
    assert effective_rank(spread) > 7.5
    assert abs(mean_cosine(spread)) < 0.02
    assert first_component_share(spread) < 0.25
    line = np.outer(np.linspace(1, 2, 20), np.ones(8))
    assert effective_rank(line) == pytest.approx(1, abs=1e-6)
    assert first_component_share(line) == pytest.approx(1)


def test_the_table_of_qualities() -> None:
    table = layout(2)
    matrix = noise(table)
    codes = pd.factorize(table[BROAD_SAMPLE], sort=True)[0].astype(np.int64)
    text = noise(table)[: codes.max() + 1]
    rows = EMBEDDING_QUALITY.validate(embedding_quality(table, matrix, codes, text))
    values = rows.set_index(["metric", "scope"])["value"]
    unit, words = normalize(matrix), normalize(text)
    assert values["alignment", "image and text"] == pytest.approx(
        (unit * words[codes]).sum(1).mean()
    )
    assert values["plate_silhouette", "controls"] == pytest.approx(0, abs=0.1)
