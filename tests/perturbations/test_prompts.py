"""Words for perturbations."""

import pandas as pd
import pytest
from hypothesis import given
from hypothesis import strategies as st

from morphoclip.perturbations.prompts import TextLevel, prompt_of, prompt_table
from morphoclip.schemas import (
    BROAD_SAMPLE,
    GENE,
    MOA_LIST,
    MODALITY,
    PERT_INAME,
    PROMPT,
    PROMPT_DIGEST,
    ROLE,
    SMILES,
)

GABAPENTIN = {
    MODALITY: "compound",
    ROLE: "trt",
    BROAD_SAMPLE: "BRD-A86665761-001-01-1",
    PERT_INAME: "gabapentin-enacarbil",
    GENE: "CACNB4",
    MOA_LIST: "adrenergic receptor agonist",
    SMILES: "CC(C)C(=O)OC(C)OC(=O)NCC1(CC(O)=O)CCCCC1",
}


@pytest.mark.parametrize(
    ("level", "words"),
    [
        ("name_only", "Chemical perturbation: gabapentin-enacarbil."),
        ("name_target", "Chemical perturbation: gabapentin-enacarbil. Target: CACNB4."),
        (
            "full",
            "Chemical perturbation: gabapentin-enacarbil. Target: CACNB4. "
            "Function: adrenergic receptor agonist. "
            "SMILES: CC(C)C(=O)OC(C)OC(=O)NCC1(CC(O)=O)CCCCC1.",
        ),
    ],
)
def test_the_specs_own_examples(level: str, words: str) -> None:
    assert prompt_of(GABAPENTIN, TextLevel(level)) == words


@pytest.mark.parametrize(
    ("modality", "role", "words"),
    [
        ("crispr", "trt", "CRISPR knockout of ABC1."),
        ("crispr", "poscon_cp", "CRISPR knockout of ABC1."),
        ("crispr", "negcon", "Negative control (non-targeting guide)."),
        ("orf", "trt", "ORF overexpression of ABC1."),
        ("orf", "negcon", "Negative control (weak-signature ORF)."),
        ("compound", "negcon", "Negative control (DMSO)."),
    ],
)
def test_other_types(modality: str, role: str, words: str) -> None:
    row = {MODALITY: modality, ROLE: role, BROAD_SAMPLE: "X-7", GENE: "ABC1"}
    assert prompt_of(row, TextLevel.FULL) == words


@given(missing=st.sets(st.sampled_from([GENE, MOA_LIST, SMILES])), level=st.sampled_from(TextLevel))
def test_missing_fields_leave_no_trace(missing: set[str], level: TextLevel) -> None:
    words = prompt_of(GABAPENTIN | dict.fromkeys(missing, None), level)
    for never in ("unknown", "nan", "None", "BRD-", "  ", ".."):
        assert never not in words
    assert words.endswith(".")


def test_perturbations_that_share_words_share_a_digest() -> None:
    guides = pd.DataFrame(
        {MODALITY: "crispr", ROLE: "trt", BROAD_SAMPLE: ["a", "b", "c"], GENE: ["X", "X", "Y"]}
    )
    table = prompt_table(guides, TextLevel.FULL)
    assert table[PROMPT_DIGEST].nunique() == table[PROMPT].nunique() == 2
