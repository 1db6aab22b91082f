"""Words for perturbations."""

import re
from pathlib import Path

import pandas as pd
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from morphoclip.columns import (
    BROAD_SAMPLE,
    CELL_TYPE,
    FUNCTION,
    GENE,
    MODALITY,
    PERT_INAME,
    PLATE,
    PROMPT,
    PROMPT_DIGEST,
    PROTEIN_NAME,
    ROLE,
    SMILES,
    TIMEPOINT,
)
from morphoclip.errors import InputError
from morphoclip.perturbations.jump_target import perturbation_table
from morphoclip.perturbations.prompts import digests_of, prompt_of, prompt_summary, prompt_table
from morphoclip.perturbations.wording import PromptTemplates, TextLevel
from morphoclip.schemas.features import PROMPTS

SPEC = PromptTemplates()
GABAPENTIN = {
    MODALITY: "compound",
    ROLE: "trt",
    BROAD_SAMPLE: "BRD-A86665761-001-01-1",
    PERT_INAME: "gabapentin-enacarbil",
    GENE: "CACNB4",
    PROTEIN_NAME: None,
    FUNCTION: "adrenergic receptor agonist",
    SMILES: "CC(C)C(=O)OC(C)OC(=O)NCC1(CC(O)=O)CCCCC1",
}
GUIDE = {
    MODALITY: "crispr",
    ROLE: "trt",
    BROAD_SAMPLE: "BRDN0001480888",
    PERT_INAME: None,
    GENE: "HIF1A",
    PROTEIN_NAME: "Hypoxia-inducible factor 1-alpha",
    FUNCTION: "Master regulator of the response to hypoxia",
    SMILES: None,
}
ORF = GUIDE | {MODALITY: "orf", BROAD_SAMPLE: "ccsbBroad304_00001"}
NO_WELLS = pd.DataFrame({PLATE: ["BR1"], MODALITY: ["x"], BROAD_SAMPLE: [None]})

ATOM = "CC(C)C(=O)OC(C)OC(=O)NCC1(CC(O)=O)CCCCC1"
HYPOXIA = "Protein: Hypoxia-inducible factor 1-alpha."
MASTER = "Function: Master regulator of the response to hypoxia."
GOLDEN = {
    "compound": (
        GABAPENTIN,
        "Chemical perturbation: gabapentin-enacarbil.",
        "Target: CACNB4.",
        f"Function: adrenergic receptor agonist. SMILES: {ATOM}.",
    ),
    "crispr": (GUIDE, "CRISPR knockout of HIF1A.", HYPOXIA, MASTER),
    "orf": (ORF, "ORF overexpression of HIF1A.", HYPOXIA, MASTER),
    "positive control": (
        GUIDE | {ROLE: "poscon_cp"},
        "CRISPR knockout of HIF1A.",
        HYPOXIA,
        MASTER,
    ),
    "DMSO": (GABAPENTIN | {ROLE: "negcon"}, "Negative control (DMSO).", "", ""),
    "non-targeting": (
        GUIDE | {ROLE: "negcon", GENE: None},
        "Negative control (non-targeting guide).",
        "",
        "",
    ),
    "weak ORF": (ORF | {ROLE: "negcon"}, "Negative control (weak-signature ORF).", "", ""),
}


@pytest.mark.parametrize("kind", list(GOLDEN))
@pytest.mark.parametrize("level", list(TextLevel))
def test_golden_prompts(kind: str, level: TextLevel) -> None:
    row, *clauses = GOLDEN[kind]
    said = clauses[: list(TextLevel).index(level) + 1]
    assert prompt_of(row, level, SPEC) == " ".join(clause for clause in said if clause)


def test_conf_holds_the_specs_wording() -> None:
    conf = Path(__file__).parents[2] / "conf/base/text_features/parameters_prompt_templates.yml"
    given_in_conf = yaml.safe_load(conf.read_text())["prompt_templates"]
    assert PromptTemplates.model_validate(given_in_conf) == SPEC


def test_wording_can_be_replaced_without_code() -> None:
    wording = {"name_only": ["Cells without {gene}."], "negative_control": "Nothing was cut."}
    templates = PromptTemplates.model_validate({"crispr": wording})
    assert prompt_of(GUIDE, TextLevel.FULL, templates) == "Cells without HIF1A."
    assert prompt_of(GUIDE | {ROLE: "negcon"}, TextLevel.FULL, templates) == "Nothing was cut."


@pytest.mark.parametrize("clause", ["Plate {plate}.", "{broad_sample}"])
def test_wording_cannot_name_plates_or_samples(clause: str) -> None:
    wording = {"name_only": [clause], "negative_control": "none"}
    with pytest.raises(ValidationError, match=r"it may name \{name\}, \{gene\}"):
        PromptTemplates.model_validate({"orf": wording})


words = st.text(st.characters(codec="ascii", categories=["L", "N", "Zs"]), max_size=12)
missing = st.sampled_from([None, float("nan"), pd.NA, "", "  ", "unknown", "NaN", "None", "n/a"])
rows = st.fixed_dictionaries(
    {
        MODALITY: st.sampled_from(["compound", "crispr", "orf"]),
        ROLE: st.sampled_from(["trt", "negcon", "poscon_cp", "poscon_orf", "poscon_diverse"]),
        BROAD_SAMPLE: st.just("BRD-K00000001-001-01-1"),
        **{
            column: st.one_of(missing, words)
            for column in (PERT_INAME, GENE, PROTEIN_NAME, FUNCTION, SMILES, CELL_TYPE, TIMEPOINT)
        },
    }
)


def _says_nothing(value: object) -> bool:
    said = "" if pd.isna(value) else str(value).strip().lower()
    return said in {"", "unknown", "nan", "none", "n/a"}


@given(row=rows, level=st.sampled_from(TextLevel), context=st.booleans())
def test_whatever_is_missing_leaves_no_trace(row: dict, level: TextLevel, *, context: bool) -> None:
    said = ("cell_type", "timepoint") if context else ()
    name = row[PERT_INAME if row[MODALITY] == "compound" else GENE]
    if row[ROLE] != "negcon" and _says_nothing(name):
        with pytest.raises(InputError, match="nothing to be called by"):
            prompt_of(row, level, SPEC, said)
        return
    prompt = prompt_of(row, level, SPEC, said)
    given_words = " ".join(str(value) for value in row.values())
    for never in ("unknown", "nan", "none", "n/a", "<na>"):
        alone = rf"(?<!\w){re.escape(never)}(?!\w)"
        if not re.search(rf"\w+ +{alone}|{alone} +\w+", given_words, re.IGNORECASE):
            assert not re.search(alone, prompt, re.IGNORECASE)
    assert "BRD-" not in prompt
    assert "  " not in prompt
    assert prompt.endswith(".")
    assert ": ." not in prompt


def test_perturbations_that_share_words_share_a_digest() -> None:
    guides = pd.DataFrame(
        [GUIDE | {BROAD_SAMPLE: n, GENE: g} for n, g in zip("abc", "XXY", strict=True)]
    )
    table = PROMPTS.validate(prompt_table(guides, NO_WELLS, TextLevel.NAME_ONLY, SPEC))
    assert table[PROMPT_DIGEST].nunique() == table[PROMPT].nunique() == 2
    summary = prompt_summary(guides.assign(**{FUNCTION: "f"}), TextLevel.NAME_ONLY, ())
    assert summary == {
        "level": "name_only", "context": [], "n_treatments": 3, "n_without_function": 0
    }  # fmt: skip


def test_a_context_has_its_own_prompt_and_each_well_finds_its_own() -> None:
    wells = pd.DataFrame(
        {
            PLATE: ["P", "Q", "Q"],
            MODALITY: "crispr",
            BROAD_SAMPLE: [GUIDE[BROAD_SAMPLE], GUIDE[BROAD_SAMPLE], None],
            CELL_TYPE: ["A549", "U2OS", "U2OS"],
            TIMEPOINT: ["96", "144", "144"],
        }
    )
    guides = pd.DataFrame([GUIDE])
    both = prompt_table(guides, wells, TextLevel.NAME_ONLY, SPEC, ("cell_type", "timepoint"))
    assert PROMPTS.validate(both)[PROMPT].tolist() == [
        "CRISPR knockout of HIF1A. Cell type: A549. Time: 96 h.",
        "CRISPR knockout of HIF1A. Cell type: U2OS. Time: 144 h.",
    ]
    assert digests_of(wells, both).tolist()[:2] == both[PROMPT_DIGEST].tolist()
    assert pd.isna(digests_of(wells, both)[2])
    plain = prompt_table(guides, wells, TextLevel.NAME_ONLY, SPEC)
    assert len(set(digests_of(wells, plain).dropna())) == 1
    unknown = wells.assign(**{CELL_TYPE: None})
    with pytest.raises(InputError, match="context names cell_type, which 2 wells lack"):
        prompt_table(guides, unknown, TextLevel.FULL, SPEC, ("cell_type",))


def test_a_name_that_holds_an_id_is_refused_and_one_that_is_the_id_is_a_name() -> None:
    sample = GABAPENTIN[BROAD_SAMPLE]
    holds = pd.DataFrame([GABAPENTIN | {PERT_INAME: f"see {sample}"}])
    with pytest.raises(InputError, match="holds BRD-A86665761-001-01-1"):
        prompt_table(holds, NO_WELLS, TextLevel.FULL, SPEC)
    named = pd.DataFrame([GABAPENTIN | {BROAD_SAMPLE: "Fluphenazine", PERT_INAME: "Fluphenazine"}])
    assert (
        "perturbation: Fluphenazine."
        in prompt_table(named, NO_WELLS, TextLevel.NAME_ONLY, SPEC)[PROMPT].iloc[0]
    )


def test_real_prompts(gallery, real_data) -> None:
    def read(path) -> pd.DataFrame:
        return pd.read_csv(path, sep="\t", dtype=str, keep_default_na=False)

    folder = gallery / "workspace/metadata/external_metadata"
    annotated = "cpjump1/JUMP-Target-1_compound_metadata_additional_annotations.tsv"
    table = perturbation_table(
        {p.stem: read(p) for p in folder.glob("*.tsv")}, read(real_data / annotated)
    )
    full = prompt_table(table, NO_WELLS, TextLevel.FULL, SPEC)
    first = full.set_index(BROAD_SAMPLE)[PROMPT]["BRD-A86665761-001-01-1"]
    assert first == " ".join(GOLDEN["compound"][1:])
    said = " ".join(full[PROMPT])
    for never in ("unknown", " nan", "None", "BRD-", "BRDN", "ccsbBroad", "  ", ".."):
        assert never not in said
    treated = table[ROLE] != "negcon"
    for level, distinct in (("name_only", 302 + 320), ("name_target", 306 + 320)):
        prompts = prompt_table(table[treated], NO_WELLS, TextLevel(level), SPEC)
        assert prompts[PROMPT].nunique() <= distinct
        assert prompts[PROMPT].nunique() > 600
    summary = prompt_summary(table, TextLevel.FULL, ())
    assert summary["n_treatments"] == 306 + 305 + 160
    assert summary["n_without_function"] >= 305 + 160
