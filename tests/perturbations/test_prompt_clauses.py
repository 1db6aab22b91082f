"""Clauses that are no clauses, and words that nobody reads."""

import pytest
from pydantic import ValidationError

from morphoclip.perturbations.prompts import Clauses, PromptTemplates


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
