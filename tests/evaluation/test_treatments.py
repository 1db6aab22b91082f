"""Treatments beside their controls: similarity, z, the best of many, and who meets whom."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st
from scipy.stats import norm
from sklearn.preprocessing import normalize
from synthetic_profiles import layout, noise

from morphoclip.columns import (
    BROAD_SAMPLE,
    CELL_TYPE,
    CONDITION,
    EMBEDDING_PREFIX,
    ENTITY,
    GENE,
    MOA_LIST,
    MODALITY,
    PERT_INAME,
    PLATE,
    REFERENCE,
    ROLE,
    SUBSET,
    TARGET_LIST,
)
from morphoclip.evaluation.spaces import Spaces
from morphoclip.evaluation.treatments import (
    GENES,
    NAME,
    Treatments,
    comparable_conditions,
    conditions_by_cell_type,
    top_matches,
)

E = 6


ONE_SPACE = Spaces(np.array([0]), np.array([E]), np.ones(1))


def random_treatments(n: int = 4, n_controls: int = 9, seed: int = 0) -> Treatments:
    rng = np.random.default_rng(seed)
    facts = pd.DataFrame({BROAD_SAMPLE: [f"t{i}" for i in range(n)], MODALITY: "orf"})
    n_wells = np.arange(1, n + 1)
    wells = [normalize(rng.standard_normal((size, E))) for size in n_wells]
    means = np.stack([own.mean(axis=0) for own in wells])
    controls = normalize(rng.standard_normal((n_controls, E)))
    return Treatments(facts, means, n_wells, controls, ONE_SPACE)


def profiles(*modalities: str, **changes: str) -> pd.DataFrame:
    wells = pd.concat(
        [layout(n_plates=2, n_treatments=4, n_controls=8, modality=m) for m in modalities],
        ignore_index=True,
    ).assign(**changes)
    columns = [f"{EMBEDDING_PREFIX}{n}" for n in range(E)]
    matrix = pd.DataFrame(noise(wells, dim=E), columns=columns)
    return pd.concat([wells.assign(**{ENTITY: wells[BROAD_SAMPLE]}), matrix], axis=1)


def nameless(table: pd.DataFrame) -> pd.DataFrame:
    known = table[[MODALITY, BROAD_SAMPLE]].drop_duplicates(ignore_index=True)
    return known.assign(**{PERT_INAME: None, MOA_LIST: None})


@given(seed=st.integers(0, 2**16), n_controls=st.integers(8, 20))
def test_z_is_the_difference_to_controls_in_standard_errors(seed: int, n_controls: int) -> None:
    treatments = random_treatments(n_controls=n_controls, seed=seed)
    queries = normalize(np.random.default_rng(seed + 1).standard_normal((3, E)))
    similarity, z = treatments.compared_with(queries)
    assert similarity.shape == z.shape == (3, 4)
    for q, query in enumerate(queries):
        of_controls = np.array([control @ query for control in treatments.controls])
        variance = ((of_controls - of_controls.mean()) ** 2).sum() / (n_controls - 1)
        for t, mean in enumerate(treatments.means):
            error = np.sqrt(variance / (t + 1) + variance / n_controls)
            assert similarity[q, t] == pytest.approx(mean @ query)
            assert z[q, t] == pytest.approx((mean @ query - of_controls.mean()) / error)


def test_with_fewer_than_eight_controls_there_is_a_similarity_and_no_z() -> None:
    query = np.eye(E)[:1]
    few, enough = random_treatments(n_controls=7), random_treatments(n_controls=8)
    similarity, z = few.compared_with(query)
    assert similarity.tolist() == [few.means[:, 0].tolist()]
    assert np.isnan(z).all()
    assert np.isfinite(enough.compared_with(query)[1]).all()


def test_controls_that_are_all_alike_are_no_measure() -> None:
    treatments = random_treatments()
    alike = replace(treatments, controls=np.tile(np.eye(E)[0], (8, 1)))
    similarity, z = alike.compared_with(np.eye(E)[:2])
    np.testing.assert_array_equal(similarity, treatments.means[:, :2].T)
    assert np.isnan(z).all()


def test_selected_treatments_are_those_named_beside_the_same_controls() -> None:
    treatments = random_treatments()
    chosen = treatments.select(["t3", "t1", "unknown"])
    assert chosen.facts[BROAD_SAMPLE].tolist() == ["t1", "t3"]
    assert chosen.facts.index.tolist() == [0, 1]
    assert chosen.n_wells.tolist() == [2, 4]
    assert chosen.controls is treatments.controls
    queries = np.eye(E)[:3]
    for own, of_all in zip(
        chosen.compared_with(queries), treatments.compared_with(queries), strict=True
    ):
        np.testing.assert_allclose(own, of_all[:, [1, 3]])


def test_the_best_candidates_come_first_and_those_at_minus_infinity_never() -> None:
    out = -np.inf
    similarity = np.array([[0.1, out, 0.3, 0.2], [out, out, 0.5, out], [out, out, out, out]])
    top = top_matches(similarity, top_k=2)
    assert top.query.tolist() == [0, 0, 1]
    assert top.rank.tolist() == [1, 2, 1]
    assert top.candidate.tolist() == [2, 3, 2]
    assert top.z_expected_null == pytest.approx(norm.ppf([2.625 / 3.25, 1.625 / 3.25, 0.5]))


@given(seed=st.integers(0, 2**16), top_k=st.integers(1, 9))
def test_top_matches_are_a_sorted_row_cut_short(seed: int, top_k: int) -> None:
    rng = np.random.default_rng(seed)
    similarity = rng.random((3, 6))
    similarity[rng.random((3, 6)) < 0.3] = -np.inf
    top = top_matches(similarity, top_k)
    for q, row in enumerate(similarity):
        finite = sorted(row[np.isfinite(row)], reverse=True)[:top_k]
        own = top.query == q
        assert row[top.candidate[own]].tolist() == finite
        assert top.rank[own].tolist() == list(range(1, len(finite) + 1))


def test_tied_candidates_keep_their_order() -> None:
    assert top_matches(np.array([[0.5, 0.7, 0.5, 0.7]]), 3).candidate.tolist() == [1, 3, 0]


def test_the_z_expected_by_chance_is_the_expected_order_statistic() -> None:
    draws = np.sort(np.random.default_rng(0).standard_normal((20_000, 12)), axis=1)[:, ::-1]
    expected = top_matches(np.arange(12.0)[None], top_k=12).z_expected_null
    assert expected == pytest.approx(draws.mean(axis=0), abs=0.02)
    assert expected == pytest.approx(-expected[::-1])


def test_treatments_are_the_means_of_their_wells_and_controls_are_those_not_normalised_by() -> None:
    table = profiles("compound").sample(frac=1, random_state=1)
    first_control = table.index[table[ROLE] == "negcon"][0]
    table.loc[first_control, REFERENCE] = True
    ((name, treatments),) = next(conditions_by_cell_type(table, nameless(table))).items()
    unit = normalize(table.filter(like=EMBEDDING_PREFIX).to_numpy())
    assert name == "compound|U2OS"
    assert treatments.modality == "compound"
    assert treatments.n_wells.tolist() == [2, 2, 2, 2]
    for sample, mean in zip(treatments.facts[BROAD_SAMPLE], treatments.means, strict=True):
        own = (table[BROAD_SAMPLE] == sample).to_numpy()
        np.testing.assert_allclose(mean, unit[own].mean(axis=0))
    scored = ((table[ROLE] == "negcon") & ~table[REFERENCE]).to_numpy()
    np.testing.assert_allclose(treatments.controls, unit[scored])
    assert len(treatments.controls) == 15


def test_a_compound_goes_by_its_name_a_gene_by_its_symbol_and_the_nameless_by_their_id() -> None:
    table = profiles("compound", "orf")
    table.loc[table[BROAD_SAMPLE] == "orf-3", GENE] = None
    table.loc[table[BROAD_SAMPLE] == "compound-0", TARGET_LIST] = "G7|G8"
    known = nameless(table)
    known.loc[known[BROAD_SAMPLE] == "compound-0", PERT_INAME] = "aspirin"
    known.loc[known[BROAD_SAMPLE] == "orf-0", PERT_INAME] = "never said"
    conditions = next(conditions_by_cell_type(table, known))
    compounds, orfs = (conditions[f"{m}|U2OS"].facts for m in ("compound", "orf"))
    assert compounds[NAME].tolist() == ["aspirin", "compound-1", "compound-2", "compound-3"]
    assert orfs[NAME].tolist() == ["G0", "G0", "G1", "orf-3"]
    assert compounds[GENES].tolist() == [("G7", "G8"), ("G0",), ("G1",), ("G1",)]
    assert orfs[GENES].tolist() == [("G0",), ("G0",), ("G1",), ()]


def test_a_treatment_of_two_subsets_in_two_conditions_has_none() -> None:
    table = profiles("compound")
    later = table[PLATE] == "compound1"
    table[CONDITION] = table[CONDITION].mask(later, "compound|later")
    table.loc[later & (table[BROAD_SAMPLE] == "compound-2"), SUBSET] = "test"
    for treatments in next(conditions_by_cell_type(table, nameless(table))).values():
        subsets = treatments.facts.set_index(BROAD_SAMPLE)[SUBSET]
        assert subsets.isna().tolist() == [False, False, True, False]
        assert subsets.dropna().to_dict() == {
            "compound-0": "train", "compound-1": "test", "compound-3": "test"
        }  # fmt: skip


def test_a_condition_meets_itself_and_other_modalities_on_its_cells_only() -> None:
    cells = pd.concat(
        [
            profiles("compound", "orf"),
            profiles("compound", **{CONDITION: "compound|U2OS later"}),
            profiles("orf", **{CONDITION: "orf|A549", CELL_TYPE: "A549"}),
        ],
        ignore_index=True,
    )
    met = [
        (one.facts[CONDITION].iloc[0], other.facts[CONDITION].iloc[0])
        for one, other in comparable_conditions(cells, nameless(cells))
    ]
    compound, later, orf = "compound|U2OS", "compound|U2OS later", "orf|U2OS"
    assert sorted(met) == sorted(
        [
            (compound, compound), (compound, orf), (later, later), (later, orf),
            (orf, compound), (orf, later), (orf, orf), ("orf|A549", "orf|A549"),
        ]
    )  # fmt: skip


def test_a_condition_of_controls_alone_has_no_treatments() -> None:
    table = profiles("compound")
    controls = table[ROLE] == "negcon"
    table.loc[controls & (table[PLATE] == "compound1"), CONDITION] = "empty|U2OS"
    assert list(next(conditions_by_cell_type(table, nameless(table)))) == ["compound|U2OS"]
