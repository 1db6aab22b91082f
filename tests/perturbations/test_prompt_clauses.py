"""Clauses that are no clauses, and words that nobody reads."""

import pandas as pd
import pytest
from pydantic import ValidationError

from morphoclip.columns import BROAD_SAMPLE, MODALITY, PERT_INAME, PLATE, ROLE
from morphoclip.errors import InputError
from morphoclip.perturbations.prompts import prompt_table
from morphoclip.perturbations.wording import Clauses, PromptTemplates, TextLevel
from morphoclip.schemas.ingestion import PERTURBATIONS


@pytest.mark.parametrize(
    ("clause", "message"),
    [
        ("Target: {gene.", "a brace that stands alone"),
        ("Target: gene}.", "a brace that stands alone"),
        ("Target: {gene.__class__}.", r"names \{gene.__class__\}; it may name"),
        ("Target: {gene[0]}.", r"names \{gene\[0\]\}"),
        ("Target: {gene!r}.", r"names \{gene\}"),
        ("Target: {gene:>100000}.", r"names \{gene\}"),
        ("Target: {}.", r"names \{\}"),
        ("Target: {0}.", r"names \{0\}"),
        ("Target: {secret}.", r"names \{secret\}"),
    ],
)
def test_what_is_no_clause_is_refused(clause: str, message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Clauses(name_only=(clause,), negative_control="x")
    with pytest.raises(ValidationError, match=message):
        PromptTemplates(cell_type=clause)


def test_a_doubled_brace_is_a_brace() -> None:
    assert Clauses(name_only=("{{a}} {name}",), negative_control="x").name_only


def test_words_that_no_model_reads_to_their_end_are_refused() -> None:
    row = dict.fromkeys(PERTURBATIONS.columns) | {
        MODALITY: "compound", BROAD_SAMPLE: "c1", ROLE: "trt", PERT_INAME: "a " * 60_000
    }  # fmt: skip
    wells = pd.DataFrame({PLATE: ["P"], MODALITY: ["compound"], BROAD_SAMPLE: ["c1"]})
    with pytest.raises(InputError, match=r"1 prompt\(s\) have more than 32,000 characters"):
        prompt_table(pd.DataFrame([row]), wells, TextLevel.FULL, PromptTemplates())
