"""Answers about treatments against planted neighbours and closed forms."""

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import normalize
from synthetic_profiles import layout, noise

from morphoclip.errors import InputError
from morphoclip.metrics.answers import (
    look_alikes,
    nearest_treatments,
    retrieved_texts,
    target_genes,
    wells_called,
)
from morphoclip.schemas import (
    BROAD_SAMPLE,
    CELL_TYPE,
    CONDITION,
    EMBEDDING_PREFIX,
    GENE,
    LOOK_ALIKES,
    LOOKED_UP,
    MODALITY,
    PERT_INAME,
    PROMPT,
    PROMPT_DIGEST,
    REFERENCE,
    RETRIEVED_TEXTS,
    ROLE,
    SUBSET,
    TARGET_GENES,
    TARGET_LIST,
)

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
    return pd.concat([wells, pd.DataFrame(matrix, columns=dims)], axis=1)


def known(profiles: pd.DataFrame) -> pd.DataFrame:
    """The table of perturbations: compounds have names."""
    table = profiles[[MODALITY, BROAD_SAMPLE]].drop_duplicates(ignore_index=True)
    names = "drug " + table[BROAD_SAMPLE].str.split("-").str[-1]
    return table.assign(**{PERT_INAME: names.where(table[MODALITY] == "compound")})


def test_the_treatment_that_shares_a_gene_comes_first_and_never_itself() -> None:
    profiles = planted("compound", "crispr")
    answers = LOOK_ALIKES.validate(look_alikes(profiles, known(profiles), places=3))
    assert set(answers.groupby([BROAD_SAMPLE, "other_condition"])["place"].max()) == {3}
    own = answers[answers[CONDITION] == answers["other_condition"]]
    assert (own[BROAD_SAMPLE] != own["other_broad_sample"]).all()
    assert own.groupby("place")["shares_gene"].mean().to_dict() == {1: 1, 2: 0, 3: 0}
    other = answers[answers[MODALITY] != answers["other_modality"]]
    assert other.groupby("place")["shares_gene"].mean().to_dict() == {1: 1, 2: 1, 3: 0}
    row = own[(own[BROAD_SAMPLE] == "compound-4") & (own["place"] == 1)].iloc[0]
    assert row[["name", "other_name", SUBSET, "other_subset"]].tolist() == [
        "drug 4", "drug 5", "train", "test"
    ]  # fmt: skip


def test_similarity_and_z_are_those_of_wells_and_controls() -> None:
    profiles = planted("compound")
    answers = look_alikes(profiles, known(profiles), places=1)
    row = answers[answers[BROAD_SAMPLE] == "compound-0"].iloc[0]
    matrix = profiles.filter(like=EMBEDDING_PREFIX).to_numpy()
    one, other = (matrix[profiles[BROAD_SAMPLE] == f"compound-{n}"] for n in (0, 1))
    query = one.mean(axis=0) / np.linalg.norm(one.mean(axis=0))
    similarity = (other @ query).mean()
    controls = matrix[profiles[ROLE] == "negcon"] @ query
    assert row["other_broad_sample"] == "compound-1"
    assert row["similarity"] == pytest.approx(similarity)
    expected = (similarity - controls.mean()) / (controls.std(ddof=1) / np.sqrt(2))
    assert row["z"] == pytest.approx(expected)


def test_z_of_wells_like_controls_is_small_whatever_their_number() -> None:
    """Candidates that are controls by another name: z has mean 0 and spread about 1."""
    profiles = layout(n_plates=8, n_treatments=40, n_controls=60)
    dims = [f"{EMBEDDING_PREFIX}{n}" for n in range(DIM)]
    profiles = pd.concat([profiles, pd.DataFrame(noise(profiles, dim=DIM), columns=dims)], axis=1)
    query = np.eye(DIM)[0]
    answers = nearest_treatments(query, profiles, known(profiles), places=40)
    assert len(answers) == 40
    assert abs(answers["z"].mean()) < 0.5
    assert 0.7 < answers["z"].std() < 1.3


def test_other_cells_and_normalisation_controls_are_not_looked_at() -> None:
    profiles = planted("compound", "crispr")
    away = profiles.assign(
        **{CELL_TYPE: np.where(profiles[MODALITY] == "crispr", "A549", "U2OS"), REFERENCE: True}
    )
    answers = look_alikes(away, known(profiles), places=2)
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
    table = RETRIEVED_TEXTS.validate(retrieved_texts(profiles, texts, prompts, places=2))
    assert len(table) == 2 * 12
    first = table[table["place"] == 1]
    assert first["is_own"].all()
    assert (first["retrieved"] == first[PROMPT]).all()
    assert (first["rank_of_own"] == 1).all()
    assert set(table["n_candidates"]) == {6}
    assert (table["retrieved"].str.contains("crispr") == (table[MODALITY] == "crispr")).all()


def test_treatments_are_found_by_id_compound_or_gene_in_any_case() -> None:
    profiles = planted("compound", "crispr")
    table = known(profiles)
    by = {name: wells_called(name, profiles, table) for name in ("Compound-3", "drug 3", "g1")}
    assert by["Compound-3"].equals(by["drug 3"])
    assert profiles.loc[by["Compound-3"], BROAD_SAMPLE].unique().tolist() == ["compound-3"]
    assert profiles.loc[by["g1"], BROAD_SAMPLE].unique().tolist() == ["crispr-2", "crispr-3"]
    with pytest.raises(InputError, match=r"is called drugg 3, .*; did you mean drug 3"):
        wells_called("drugg 3", profiles, table)
    with pytest.raises(InputError, match="is called DMSO"):
        wells_called("DMSO", profiles, table)


def test_what_is_looked_up_fits_its_table() -> None:
    profiles = planted("compound")
    query = profiles.filter(like=EMBEDDING_PREFIX).iloc[0].to_numpy()
    answers = nearest_treatments(query, profiles, known(profiles), places=2)
    LOOKED_UP.validate(answers.assign(query="x")[list(LOOKED_UP.columns)])
    assert answers[BROAD_SAMPLE].tolist() == ["compound-0", "compound-1"]
