"""What a question is taken for, and what answers it."""

import numpy as np
import pandas as pd
import pytest
from sklearn.preprocessing import normalize
from synthetic_profiles import layout, noise

from morphoclip.bundle.pack import TREATMENT_COLUMNS
from morphoclip.columns import (
    BROAD_SAMPLE,
    CONDITION,
    EMBEDDING_PREFIX,
    ENTITY,
    GENE,
    MOA_LIST,
    MODALITY,
    PERT_INAME,
    PLATE,
    PROMPT,
    ROLE,
    SMILES,
    SUBSET,
    WELL,
)
from morphoclip.errors import InputError
from morphoclip.schemas.treatments import SIMILAR_TEXTS, SIMILAR_TREATMENTS, SIMILAR_WELLS
from morphoclip.search.answers import (
    answers_to,
    texts_as_text,
    treatments_as_text,
    wells_as_text,
)
from morphoclip.search.index import SearchIndex
from morphoclip.search.names import named_in
from morphoclip.search.question import Question
from morphoclip.search.questions import LONGEST, kind_of, nearest_structures, questions_of
from morphoclip.search.wells_and_texts import similar_wells

DIM = 64
ASPIRIN, PHENOL = "CC(=O)Oc1ccccc1C(=O)O", "Oc1ccccc1"


def built() -> SearchIndex:
    """Compounds and guides that show their gene; two texts, of G0 and of G1."""
    wells = pd.concat(
        [
            layout(n_plates=2, n_treatments=12, n_controls=8, modality=modality)
            for modality in ("compound", "crispr")
        ],
        ignore_index=True,
    )
    look = dict(zip(sorted(wells[GENE].dropna().unique()), np.eye(DIM), strict=False))
    signal = np.stack([look.get(gene, np.zeros(DIM)) for gene in wells[GENE]])
    dims = [f"{EMBEDDING_PREFIX}{n:02d}" for n in range(DIM)]
    matrix = pd.DataFrame(normalize(signal + 0.05 * noise(wells, dim=DIM)), columns=dims)
    entity = wells[MODALITY] + ":" + wells[BROAD_SAMPLE]
    profiles = pd.concat([wells.assign(**{ENTITY: entity}), matrix], axis=1)
    treatments = profiles[[MODALITY, BROAD_SAMPLE, GENE]].drop_duplicates(BROAD_SAMPLE)
    treatments = treatments.reindex(columns=TREATMENT_COLUMNS).reset_index(drop=True)
    is_compound = treatments[MODALITY] == "compound"
    treatments[PERT_INAME] = ("drug " + treatments[BROAD_SAMPLE].str[-1]).where(is_compound)
    treatments[MOA_LIST] = pd.Series(None, index=treatments.index, dtype="str").mask(
        treatments[GENE].isin(["G0", "G1"]), "HDAC inhibitor|other"
    )
    treatments[SMILES] = pd.Series(None, index=treatments.index, dtype="str").mask(
        treatments[BROAD_SAMPLE] == "compound-0", ASPIRIN
    )
    texts = pd.DataFrame(np.eye(DIM)[:2], columns=dims).assign(
        **{PROMPT: ["words of G0", "words of G1"], MODALITY: "compound", SUBSET: "train"}
    )
    return SearchIndex.of_profiles(profiles, treatments, texts)


INDEX = built()


def embed_text(text: str) -> np.ndarray:
    """Words that name a gene by its number show it."""
    return np.eye(DIM, dtype=np.float32)[int(text[1]) if text[:1] == "G" else 40]


@pytest.mark.parametrize(
    ("text", "kind"),
    [
        ("drug 3", "treatment"),
        ("g1", "treatment"),
        ("CRISPR-3", "treatment"),
        ("compound0 A01", "well"),
        ("compound0:a1", "well"),
        ("elsewhere A01", "text"),
        (ASPIRIN, "structure"),
        ("CN1C=NC2=C1C(=O)N(C(=O)N2C)C", "structure"),
        ("(HDAC1)", "text"),
        ("HDAC inhibitor", "text"),
        ("G1 and more", "text"),
        ("'; DROP TABLE wells; --", "text"),
        ("../../etc/passwd", "text"),
        ("=cmd|' /C calc'!A0", "text"),
    ],
)
def test_a_question_is_what_it_names(text: str, kind: str) -> None:
    assert kind_of(text, INDEX) == kind


def test_words_find_treatments_wells_and_texts_that_show_them() -> None:
    (question,) = questions_of("G1 HDAC inhibitor", INDEX, embed_text)
    assert question.targets == ("G1",)
    assert question.mechanisms == ("HDAC inhibitor",)
    answers = answers_to(INDEX, [question], top_k=2)
    treatments = SIMILAR_TREATMENTS.validate(answers.treatments)
    assert set(treatments[GENE]) == {"G1"}
    assert set(treatments["shared_targets"]) == {"G1"}
    assert set(treatments["shared_mechanisms"]) == {"HDAC inhibitor"}
    wells = SIMILAR_WELLS.validate(answers.wells)
    assert set(wells[GENE]) == {"G1"}
    assert (wells["z"] > 5).all()
    n_controls = int(((INDEX.wells[ROLE] == "negcon") & (INDEX.wells[MODALITY] == "crispr")).sum())
    assert wells["p"].to_numpy() == pytest.approx(1 / (1 + n_controls))
    texts = SIMILAR_TEXTS.validate(answers.texts)
    assert texts[PROMPT].tolist() == ["words of G1", "words of G0"]
    assert texts["p"].isna().all(), "words are not made of wells"


def test_a_treatment_is_asked_for_in_each_condition_and_never_answers_itself() -> None:
    questions = questions_of("G2", INDEX, embed_text)
    assert [question.condition for question in questions] == ["crispr|U2OS"]
    answers = answers_to(INDEX, questions, top_k=4)
    own = answers.treatments[answers.treatments[CONDITION] == "crispr|U2OS"]
    assert not set(own[BROAD_SAMPLE]) & {"crispr-4", "crispr-5"}
    of_compounds = answers.treatments[answers.treatments[CONDITION] == "compound|U2OS"]
    assert of_compounds.head(2)[GENE].tolist() == ["G2", "G2"]
    asked = set(map(tuple, INDEX.wells.loc[questions[0].rows, [PLATE, WELL]].to_numpy()))
    assert not asked & set(map(tuple, answers.wells[[PLATE, WELL]].to_numpy()))
    assert answers.texts["p"].notna().all()


def test_a_well_is_asked_for_by_plate_and_name() -> None:
    place = INDEX.wells[(INDEX.wells[GENE] == "G0") & (INDEX.wells[MODALITY] == "compound")]
    plate, well = place[[PLATE, WELL]].iloc[0]
    (question,) = questions_of(f"{plate} {well.lower()}", INDEX, embed_text)
    answers = answers_to(INDEX, [question], top_k=3)
    assert set(answers.wells[GENE]) == {"G0"}
    assert answers.texts[PROMPT].iloc[0] == "words of G0"
    assert answers.texts["p"].iloc[0] < 0.1 < answers.texts["p"].iloc[1]


def test_a_control_is_not_held_against_itself() -> None:
    controls = INDEX.wells[(INDEX.wells[ROLE] == "negcon") & (INDEX.wells[MODALITY] == "compound")]
    plate, well = controls[[PLATE, WELL]].iloc[0]
    (question,) = questions_of(f"{plate} {well}", INDEX, embed_text)
    answers = answers_to(INDEX, [question], top_k=3)
    n_others = len(controls) - 1
    similarity = INDEX.profiles[question.rows[0]] @ INDEX.profiles.T
    others = similarity[controls.index[1:]]
    of_compounds = answers.wells[answers.wells[MODALITY] == "compound"]
    for row in of_compounds.to_dict("records"):
        assert row["p"] == pytest.approx((1 + (others >= row["similarity"]).sum()) / (1 + n_others))
    best = answers.treatments[answers.treatments[MODALITY] == "compound"].iloc[0]
    error = others.std(ddof=1) * np.sqrt(1 / 2 + 1 / n_others)
    assert best["z"] == pytest.approx((best["similarity"] - others.mean()) / error, rel=1e-4)


def test_a_structure_names_the_known_compounds_most_like_it(caplog) -> None:
    pytest.importorskip("rdkit")
    likeness = nearest_structures(PHENOL, INDEX.perturbations, number=3)
    assert list(likeness.index) == ["drug 0"]
    assert 0 < likeness.iloc[0] < 1
    assert nearest_structures(ASPIRIN, INDEX.perturbations, number=1).iloc[0] == 1
    caplog.set_level("INFO")
    (question,) = questions_of(ASPIRIN, INDEX, embed_text)
    assert question.label == f"structure: {ASPIRIN}"
    assert "drug 0 has a Tanimoto similarity of 1.00" in caplog.text
    with pytest.raises(InputError, match="no structure that rdkit can read"):
        questions_of("not a structure", INDEX, embed_text, "structure")


@pytest.mark.parametrize(
    ("text", "kind", "sentence"),
    [
        ("", None, "there is no question"),
        (" \n", None, "there is no question"),
        ("x" * (LONGEST + 1), None, "10,001 characters; at most 10,000"),
        ("x" * 10_000_000, None, "10,000,000 characters"),
        ("drug 99", "treatment", "no treatment of these profiles has the name drug 99"),
        ("DMSO", "treatment", "no treatment|is a control"),
        ("nowhere A01", "well", "no profile of well A01 of plate nowhere; the 4 plate"),
        ("compound0", "well", "names no well"),
        ("compound0 Z99", "well", "is no well"),
    ],
)
def test_what_names_nothing_is_a_sentence(text: str, kind, sentence: str) -> None:
    with pytest.raises(InputError, match=sentence):
        questions_of(text, INDEX, embed_text, kind)


def test_names_stand_in_a_text_as_words() -> None:
    entries = pd.Series([("HDAC1",), ("HDAC10", "HDAC-1"), ("hdac inhibitor", "x"), ()])
    found = named_in("Target: HDAC1. An HDAC inhibitor (HDAC 1)!", entries)
    assert found == ["HDAC1", "HDAC-1", "hdac inhibitor", None]


def test_many_questions_are_answered_as_each_alone() -> None:
    vectors = normalize(np.random.default_rng(3).standard_normal((5, DIM))).astype(np.float32)
    questions = [Question(f"vector {n}", vector) for n, vector in enumerate(vectors)]
    together = similar_wells(INDEX, questions, top_k=4)
    alone = pd.concat([similar_wells(INDEX, [one], top_k=4) for one in questions])
    exact = ["query", PLATE, WELL, "rank", "p", "q"]
    pd.testing.assert_frame_equal(together[exact], alone[exact].reset_index(drop=True))


def test_answers_fit_a_terminal() -> None:
    (question,) = questions_of("G1", INDEX, embed_text)
    answers = answers_to(INDEX, [question], top_k=3)
    for text in (treatments_as_text(answers.treatments), wells_as_text(answers.wells)):
        assert max(map(len, text.splitlines())) <= 80
        assert len(text.splitlines()) > 3
    assert "words of G1" in texts_as_text(answers.texts)
