"""How prompts are worded: a few clauses per modality, in three levels.

The wording is the spec's ("Text granularity levels"); ``prompt_templates`` can replace it.
"""

from enum import StrEnum
from string import Formatter
from typing import Literal

from pydantic import Field, field_validator

from morphoclip.columns import (
    CELL_TYPE,
    DOSE,
    FUNCTION,
    GENE,
    PERT_INAME,
    PROTEIN_NAME,
    SMILES,
    TARGET_LIST,
    TIMEPOINT,
    Modality,
)
from morphoclip.config import Config
from morphoclip.errors import example_of

Context = Literal["cell_type", "timepoint"]

FIELDS = {
    "name": PERT_INAME,
    "gene": GENE,
    "protein": PROTEIN_NAME,
    "function": FUNCTION,
    "targets": TARGET_LIST,
    "smiles": SMILES,
    "dose": DOSE,
    "cell_type": CELL_TYPE,
    "timepoint": TIMEPOINT,
}
"""What a clause may mention, and the column that it stands for."""


class TextLevel(StrEnum):
    """How much a prompt says; each level says what the ones before it say, too."""

    NAME_ONLY = "name_only"
    NAME_TARGET = "name_target"
    FULL = "full"


def fields_of(clause: str) -> list[str]:
    """Names of the fields ``{name}`` in a clause.

    Raises:
        ValueError: It names another, or a part of one, or a brace stands alone.
    """
    try:
        parts = list(Formatter().parse(clause))
    except ValueError as error:
        raise ValueError(
            f"the clause {clause!r} has a brace that stands alone ({error})"
        ) from error
    fields = [(name, spec, conversion) for _, name, spec, conversion in parts if name is not None]
    odd = [name for name, spec, conversion in fields if name not in FIELDS or spec or conversion]
    if odd:
        raise ValueError(
            f"a clause names {{{example_of(sorted(odd))}}}; it may name "
            + ", ".join(f"{{{name}}}" for name in FIELDS)
        )
    return [name for name, _, _ in fields]


class Clauses(Config):
    """The wording of one modality: what each level adds, and its negative control."""

    name_only: tuple[str, ...]
    name_target: tuple[str, ...] = ()
    full: tuple[str, ...] = ()
    negative_control: str

    @field_validator("name_only", "name_target", "full")
    @classmethod
    def _fields_are_known(cls, clauses: tuple[str, ...]) -> tuple[str, ...]:
        for clause in clauses:
            fields_of(clause)
        return clauses

    @field_validator("name_only")
    @classmethod
    def _something_is_always_said(cls, clauses: tuple[str, ...]) -> tuple[str, ...]:
        if not clauses:
            raise ValueError("name_only needs at least one clause")
        return clauses

    def up_to(self, level: TextLevel) -> tuple[str, ...]:
        """All clauses of a level, in order."""
        levels = list(TextLevel)[: list(TextLevel).index(level) + 1]
        return tuple(clause for each in levels for clause in getattr(self, each))


class PromptTemplates(Config):
    """``params:prompt_templates``: the wording of every prompt."""

    compound: Clauses = Clauses(
        name_only=("Chemical perturbation: {name}.", "Dose: {dose}."),
        name_target=("Target: {gene}.",),
        full=("Function: {function}.", "SMILES: {smiles}."),
        negative_control="Negative control (DMSO).",
    )
    crispr: Clauses = Clauses(
        name_only=("CRISPR knockout of {gene}.",),
        name_target=("Protein: {protein}.",),
        full=("Function: {function}.",),
        negative_control="Negative control (non-targeting guide).",
    )
    orf: Clauses = Clauses(
        name_only=("ORF overexpression of {gene}.",),
        name_target=("Protein: {protein}.",),
        full=("Function: {function}.",),
        negative_control="Negative control (weak-signature ORF).",
    )
    sirna: Clauses = Clauses(
        name_only=("siRNA knockdown of {gene}.",),
        name_target=("Protein: {protein}.",),
        full=("Function: {function}.",),
        negative_control="Negative control (non-targeting siRNA).",
    )
    antibody: Clauses = Clauses(
        name_only=("Antibody: {name}.", "Dose: {dose}."),
        name_target=("Target: {gene}.",),
        full=("Function: {function}.",),
        negative_control="Negative control (isotype antibody).",
    )
    other: Clauses = Clauses(
        name_only=("Perturbation: {name}.", "Dose: {dose}."),
        name_target=("Target: {gene}.",),
        full=("Function: {function}.",),
        negative_control="Negative control.",
    )
    cell_type: str = Field("Cell type: {cell_type}.", description="With context cell_type.")
    timepoint: str = Field("Time: {timepoint} h.", description="With context timepoint.")

    @field_validator("cell_type", "timepoint")
    @classmethod
    def _fields_are_known(cls, clause: str) -> str:
        fields_of(clause)
        return clause

    def of(self, modality: Modality) -> Clauses:
        """The wording of one modality."""
        clauses: Clauses = getattr(self, modality)
        return clauses
