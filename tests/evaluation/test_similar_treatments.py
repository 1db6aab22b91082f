"""Answers about treatments against planted neighbours and closed forms."""

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import normalize
from synthetic_profiles import layout, noise

from morphoclip.bundle.pack import TREATMENT_COLUMNS
from morphoclip.columns import (
    BROAD_SAMPLE,
    CELL_TYPE,
    CONDITION,
    EMBEDDING_PREFIX,
    ENTITY,
    GENE,
    MODALITY,
    PERT_INAME,
    PROMPT,
    PROMPT_DIGEST,
    QUALITY,
    REFERENCE,
    ROLE,
    SUBSET,
    TARGET_LIST,
)
from morphoclip.errors import InputError
from morphoclip.evaluation import nearest_treatments as nearest_treatments_module
from morphoclip.evaluation.nearest_treatments import nearest_treatments
from morphoclip.evaluation.retrieved_texts import retrieved_texts
from morphoclip.evaluation.target_genes import target_genes
from morphoclip.evaluation.treatments import conditions_by_cell_type
from morphoclip.schemas.treatments import (
    NEAREST_TREATMENTS,
    RETRIEVED_TEXTS,
    SIMILAR_TREATMENTS,
    TARGET_GENES,
)
from morphoclip.search.index import SearchIndex
from morphoclip.search.names import wells_named
from morphoclip.search.question import Question
from morphoclip.search.questions import questions_of
from morphoclip.search.treatments import similar_treatments

DIM = 64


def planted(*modalities: str) -> pd.DataFrame:
    """Wells that show their gene, little noise, and controls that show nothing."""
    wells = pd.concat(
        [layout(n_plates=2, n_treatments=12, n_controls=8, modality=m) for m in modalities],
        ignore_index=True,
    )
    look = dict(zip(sorted(wells[GENE].dropna().unique()), np.eye(DIM), strict=False))
    signal = np.stack([look.get(gene, np.zeros(DIM)) for gene in wells[GENE]])
    matrix = normalize(signal + 0.05 * noise(wells, dim=DIM))
    dims = [f"{EMBEDDING_PREFIX}{n:02d}" for n in range(DIM)]
    entity = wells[MODALITY] + ":" + wells[BROAD_SAMPLE]
    return pd.concat([wells.assign(**{ENTITY: entity}), pd.DataFrame(matrix, columns=dims)], axis=1)


def known(profiles: pd.DataFrame) -> pd.DataFrame:
    """The table of perturbations: compounds have names."""
    table = profiles[[MODALITY, BROAD_SAMPLE]].drop_duplicates(ignore_index=True)
    names = "drug " + table[BROAD_SAMPLE].str.split("-").str[-1]
    facts = {PERT_INAME: names.where(table[MODALITY] == "compound")}
    return table.assign(**facts).reindex(columns=TREATMENT_COLUMNS)


def similar_to_vector(vector, profiles, perturbations, *, top_k: int, query: str) -> pd.DataFrame:
    conditions = conditions_by_cell_type(profiles, perturbations)
    return similar_treatments(conditions, [Question(query, vector)], top_k=top_k)


def similar_to_treatment(name, profiles, perturbations, *, top_k: int) -> pd.DataFrame:
    index = SearchIndex.of_profiles(profiles, perturbations, pd.DataFrame())
    asked = questions_of(name, index, lambda _: np.zeros(DIM), "treatment")
    return similar_treatments(index.conditions, asked, top_k=top_k)


def test_the_treatment_that_shares_a_gene_comes_first_and_never_itself() -> None:
    profiles = planted("compound", "crispr")
    answers = NEAREST_TREATMENTS.validate(nearest_treatments(profiles, known(profiles), top_k=3))
    assert set(answers.groupby([BROAD_SAMPLE, "other_condition"])["rank"].max()) == {3}
    own = answers[answers[CONDITION] == answers["other_condition"]]
    assert (own[BROAD_SAMPLE] != own["other_broad_sample"]).all()
    assert own["shared_targets"].notna().groupby(own["rank"]).mean().to_dict() == {1: 1, 2: 0, 3: 0}
    other = answers[answers[MODALITY] != answers["other_modality"]]
    assert other["shared_targets"].notna().groupby(other["rank"]).mean().to_dict() == {
        1: 1,
        2: 1,
        3: 0,
    }
    row = own[(own[BROAD_SAMPLE] == "compound-4") & (own["rank"] == 1)].iloc[0]
    assert row[["name", "other_name", SUBSET, "other_subset"]].tolist() == [
        "drug 4", "drug 5", "train", "test"
    ]  # fmt: skip


def test_similarity_and_z_are_those_of_wells_and_controls() -> None:
    profiles = planted("compound")
    answers = nearest_treatments(profiles, known(profiles), top_k=1)
    row = answers[answers[BROAD_SAMPLE] == "compound-0"].iloc[0]
    matrix = profiles.filter(like=EMBEDDING_PREFIX).to_numpy()
    one, other = (matrix[profiles[BROAD_SAMPLE] == f"compound-{n}"] for n in (0, 1))
    query = one.mean(axis=0) / np.linalg.norm(one.mean(axis=0))
    similarity = (other @ query).mean()
    controls = matrix[profiles[ROLE] == "negcon"] @ query
    assert row["other_broad_sample"] == "compound-1"
    assert row["similarity"] == pytest.approx(similarity)
    error = controls.std(ddof=1) * np.sqrt(1 / 2 + 1 / 16)
    assert row["z"] == pytest.approx((similarity - controls.mean()) / error)
    assert row["n_wells"] == 2


def unlike_anything(seed: int, n_controls: int) -> pd.DataFrame:
    """Treatments that are controls by another name, on eight plates of one condition."""
    wells = layout(n_plates=8, n_treatments=40, n_controls=n_controls)
    dims = [f"{EMBEDDING_PREFIX}{n}" for n in range(DIM)]
    matrix = pd.DataFrame(noise(wells, seed, dim=DIM), columns=dims)
    return pd.concat([wells.assign(**{ENTITY: wells[BROAD_SAMPLE]}), matrix], axis=1)


def z_of_nothing(n_controls: int) -> pd.DataFrame:
    draws = [unlike_anything(seed, n_controls) for seed in range(30)]
    query = np.eye(DIM)[0]
    return pd.concat(similar_to_vector(query, own, known(own), top_k=40, query="") for own in draws)


def test_z_of_wells_like_controls_is_what_chance_gives() -> None:
    answers = z_of_nothing(n_controls=60)
    assert len(answers) == 30 * 40
    assert 0.9 < answers["z"].std() < 1.1
    by_place = answers.groupby("rank")[["z", "z_expected_null"]].mean()
    assert by_place["z"].to_numpy() == pytest.approx(
        by_place["z_expected_null"].to_numpy(), abs=0.15
    )


def test_few_controls_make_no_treatment_stand_out() -> None:
    """With 16 control wells all z share the error of one mean: their best is below chance."""
    answers = z_of_nothing(n_controls=2)
    assert 0.85 < answers["z"].std() < 1.2
    best = answers[answers["rank"] == 1]
    assert best["z"].mean() < best["z_expected_null"].mean()


def test_few_controls_give_no_z() -> None:
    profiles = planted("compound")
    controls = profiles.index[profiles[ROLE] == "negcon"]
    few = profiles.drop(controls[7:])
    assert nearest_treatments(few, known(few), top_k=1)["z"].isna().all()
    enough = profiles.drop(controls[8:])
    assert nearest_treatments(enough, known(enough), top_k=1)["z"].notna().all()


def test_other_ids_of_one_entity_are_no_answer() -> None:
    profiles = planted("compound")
    pair = profiles[BROAD_SAMPLE].isin(["compound-0", "compound-1"])
    profiles[ENTITY] = profiles[ENTITY].mask(pair, "compound:one")
    answers = nearest_treatments(profiles, known(profiles), top_k=11)
    own = answers[answers[BROAD_SAMPLE] == "compound-0"]
    assert len(own) == 10
    assert not own["other_broad_sample"].isin(["compound-0", "compound-1"]).any()


def test_a_subset_is_that_of_all_wells_of_a_treatment() -> None:
    """Told to the model in one condition is told."""
    profiles = planted("compound")
    on_second = profiles["Metadata_Plate"] == "compound1"
    profiles[CONDITION] = np.where(on_second, "compound|later", "compound|U2OS")
    profiles[SUBSET] = np.where(on_second, "test", profiles[SUBSET])
    answers = nearest_treatments(profiles, known(profiles), top_k=1)
    by_name = answers.set_index([CONDITION, BROAD_SAMPLE])[SUBSET]
    assert pd.isna(by_name["compound|later", "compound-0"]), "train on the first plate"
    assert by_name["compound|later", "compound-1"] == "test"


def test_without_metadata_a_modality_is_one_condition_and_ids_are_names() -> None:
    profiles = planted("compound").assign(**{CONDITION: "compound", CELL_TYPE: None})
    nameless = known(profiles).assign(**{PERT_INAME: None})
    empty = profiles.head(2).assign(**{ROLE: "empty", BROAD_SAMPLE: None})
    answers = nearest_treatments(pd.concat([profiles, empty], ignore_index=True), nameless, top_k=1)
    assert set(answers[CONDITION]) == {"compound"}
    assert (answers["name"] == answers[BROAD_SAMPLE]).all()
    assert len(answers) == 12


def test_other_cells_and_normalisation_controls_are_not_looked_at() -> None:
    profiles = planted("compound", "crispr")
    away = profiles.assign(
        **{CELL_TYPE: np.where(profiles[MODALITY] == "crispr", "A549", "U2OS"), REFERENCE: True}
    )
    answers = nearest_treatments(away, known(profiles), top_k=2)
    assert (answers[MODALITY] == answers["other_modality"]).all()
    assert answers["z"].isna().all(), "no control is left that nothing was normalised by"


def test_a_compounds_target_is_ranked_among_all_genes() -> None:
    profiles = planted("compound", "crispr", "orf")
    profiles.loc[profiles[BROAD_SAMPLE] == "compound-0", TARGET_LIST] = "G3|G0|ABSENT"
    table = TARGET_GENES.validate(target_genes(profiles, known(profiles)))
    assert set(table["other_modality"]) == {"crispr", "orf"}
    assert set(table["n_genes"]) == {6}, "two guides a gene count as one"
    first = table[table[BROAD_SAMPLE] == "compound-0"].set_index(["other_modality", "gene"])["rank"]
    assert first["crispr", "G0"] == first["orf", "G0"] == 1
    assert first["crispr", "G3"] > 1
    assert "ABSENT" not in set(table["gene"])
    assert (table[table[BROAD_SAMPLE] != "compound-0"]["rank"] == 1).all()


def test_treatments_that_all_look_alike_rank_in_the_middle() -> None:
    profiles = planted("compound", "crispr")
    dims = [name for name in profiles if name.startswith(EMBEDDING_PREFIX)]
    collapsed = profiles.assign(**dict.fromkeys(dims, 1 / np.sqrt(DIM)))
    assert set(target_genes(collapsed, known(profiles))["rank"]) == {3.5}


def test_words_are_retrieved_among_those_of_the_modality() -> None:
    profiles = planted("compound", "crispr").assign(
        **{PROMPT_DIGEST: lambda t: t[BROAD_SAMPLE].fillna("none")}
    )
    test = profiles[profiles[SUBSET] == "test"].drop_duplicates(PROMPT_DIGEST)
    dims = [name for name in profiles if name.startswith(EMBEDDING_PREFIX)]
    texts = test[[*dims, PROMPT_DIGEST]]
    prompts = test[[PROMPT_DIGEST]].assign(**{PROMPT: "words of " + test[PROMPT_DIGEST]})
    table = RETRIEVED_TEXTS.validate(retrieved_texts(profiles, texts, prompts, top_k=2))
    assert len(table) == 2 * 12
    first = table[table["rank"] == 1]
    assert first["is_true"].all()
    assert (first["retrieved"] == first[PROMPT]).all()
    assert (first["rank_of_true"] == 1).all()
    assert set(table["n_candidates"]) == {6}
    assert (table["retrieved"].str.contains("crispr") == (table[MODALITY] == "crispr")).all()


def test_treatments_are_found_by_id_compound_or_gene_in_any_case() -> None:
    profiles = planted("compound", "crispr")
    table = known(profiles)
    by = {name: wells_named(name, profiles, table) for name in ("Compound-3", "drug 3", "g1")}
    assert by["Compound-3"].equals(by["drug 3"])
    assert profiles.loc[by["Compound-3"], BROAD_SAMPLE].unique().tolist() == ["compound-3"]
    assert profiles.loc[by["g1"], BROAD_SAMPLE].unique().tolist() == ["crispr-2", "crispr-3"]
    with pytest.raises(InputError, match=r"has the name drugg 3, .*; did you mean drug 3"):
        wells_named("drugg 3", profiles, table)


def test_a_treatment_is_compared_on_its_own_cells_in_each_condition() -> None:
    """X looks like G0 on U2OS and like G5 on A549: two answers, not their mean."""
    cells = []
    for cell, twin in (("U2OS", "G0"), ("A549", "G5")):
        own = planted("compound")
        dims = [name for name in own if name.startswith(EMBEDDING_PREFIX)]
        is_x = own[BROAD_SAMPLE] == "compound-7"
        own.loc[is_x, dims] = own.loc[own[GENE] == twin, dims].to_numpy()[: is_x.sum()]
        cells.append(own.assign(**{CELL_TYPE: cell, CONDITION: f"compound|{cell}"}))
    profiles = pd.concat(cells, ignore_index=True)
    answers = SIMILAR_TREATMENTS.validate(
        similar_to_treatment("drug 7", profiles, known(profiles), top_k=2)
    )
    assert (answers["query_condition"] == answers[CONDITION]).all()
    said = answers.groupby(CONDITION)[BROAD_SAMPLE].agg(set).to_dict()
    assert said == {
        "compound|U2OS": {"compound-0", "compound-1"},
        "compound|A549": {"compound-10", "compound-11"},
    }


def test_a_genes_guides_are_one_treatment_when_it_is_asked_for() -> None:
    profiles = planted("compound", "crispr")
    profiles[ENTITY] = profiles[ENTITY].where(
        profiles[MODALITY] == "compound", "crispr:" + profiles[GENE].fillna("")
    )
    answers = similar_to_treatment("G2", profiles, known(profiles), top_k=3)
    assert set(answers["query_condition"]) == {"crispr|U2OS"}
    own = answers[answers[MODALITY] == "crispr"]
    assert "G2" not in set(own[GENE])
    assert answers[answers[MODALITY] == "compound"].head(2)[GENE].tolist() == ["G2", "G2"]


def test_a_vector_is_compared_in_every_condition() -> None:
    profiles = planted("compound")
    query = profiles.filter(like=EMBEDDING_PREFIX).iloc[0].to_numpy()
    answers = SIMILAR_TREATMENTS.validate(
        similar_to_vector(query, profiles, known(profiles), top_k=2, query="text: x")
    )
    assert answers[BROAD_SAMPLE].tolist() == ["compound-0", "compound-1"]
    assert set(answers["query"]) == {"text: x"}


def test_treatments_without_cells_are_noted_on_either_side() -> None:
    profiles = planted("compound")
    dead = profiles[BROAD_SAMPLE].isin(["compound-4", "compound-6"])
    profiles[QUALITY] = profiles[QUALITY].mask(dead, "few_cells")
    one_well = profiles[BROAD_SAMPLE] == "compound-8"
    profiles.loc[one_well.idxmax(), QUALITY] = "near_empty"  # one of two wells is half of them
    profiles.loc[(profiles[BROAD_SAMPLE] == "compound-9").idxmax(), QUALITY] = "too_bright"
    answers = NEAREST_TREATMENTS.validate(nearest_treatments(profiles, known(profiles), top_k=20))
    notes = answers.set_index([BROAD_SAMPLE, "other_broad_sample"])["note"]
    assert notes["compound-4", "compound-6"] == "both: few cells"
    assert notes["compound-4", "compound-1"] == "query: few cells"
    assert notes["compound-1", "compound-4"] == "few cells"
    assert notes["compound-1", "compound-8"] == "few cells"
    assert pd.isna(notes["compound-1", "compound-9"])
    vector = np.eye(DIM)[0]
    asked = similar_to_vector(vector, profiles, known(profiles), top_k=20, query="x")
    assert asked.set_index(BROAD_SAMPLE)["note"].dropna().to_dict() == dict.fromkeys(
        ["compound-4", "compound-6", "compound-8"], "few cells"
    )


def test_names_of_doses_tell_them_apart() -> None:
    profiles = planted("compound")
    renamed = {"compound-2": "compound-2 @ 1 µM", "compound-3": "compound-2 @ 10 µM"}
    profiles[BROAD_SAMPLE] = profiles[BROAD_SAMPLE].replace(renamed)
    table = known(profiles).assign(**{PERT_INAME: "drug"})
    answers = nearest_treatments(profiles, table, top_k=20)
    found = answers.set_index("other_broad_sample")["other_name"].to_dict()
    assert found["compound-2 @ 1 µM"] == "drug @ 1 µM"
    assert found["compound-2 @ 10 µM"] == "drug @ 10 µM"
    assert found["compound-4"] == "drug"


def test_a_control_is_told_from_a_name_that_is_not_there() -> None:
    profiles = planted("compound")
    with pytest.raises(InputError, match="DMSO is a control here"):
        wells_named("DMSO", profiles, known(profiles))
    with pytest.raises(InputError, match="no treatment of these profiles has the name DMSO2"):
        wells_named("DMSO2", profiles, known(profiles))


def test_few_similarities_at_a_time_change_nothing(monkeypatch) -> None:
    profiles = planted("compound", "orf")
    at_once = nearest_treatments(profiles, known(profiles), top_k=3)
    monkeypatch.setattr(nearest_treatments_module, "_SIMILARITIES_AT_A_TIME", 100)
    in_parts = nearest_treatments(profiles, known(profiles), top_k=3)
    pd.testing.assert_frame_equal(in_parts, at_once)
