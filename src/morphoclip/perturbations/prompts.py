"""The only place that turns a perturbation into words.

Templates are the spec's ("Text granularity levels"). A clause whose field is missing is left out:
no prompt says "unknown". No prompt holds an ID, a plate, a well or a barcode.
"""

import hashlib
from enum import StrEnum
from typing import Any

import pandas as pd

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
    Modality,
    Role,
)


class TextLevel(StrEnum):
    """How much a prompt says."""

    NAME_ONLY = "name_only"
    NAME_TARGET = "name_target"
    FULL = "full"


_NEGATIVE_CONTROLS = {
    Modality.COMPOUND: "Negative control (DMSO).",
    Modality.CRISPR: "Negative control (non-targeting guide).",
    Modality.ORF: "Negative control (weak-signature ORF).",
}


def prompt_of(perturbation: dict[str, Any], level: TextLevel) -> str:
    """The words for one row of the table of perturbations."""
    modality = Modality(perturbation[MODALITY])
    known = {key: str(value) for key, value in perturbation.items() if pd.notna(value)}
    if known[ROLE] == Role.NEGCON:
        return _NEGATIVE_CONTROLS[modality]
    if modality is Modality.CRISPR:
        return f"CRISPR knockout of {known[GENE]}."
    if modality is Modality.ORF:
        return f"ORF overexpression of {known[GENE]}."
    clauses = [f"Chemical perturbation: {known[PERT_INAME]}."]
    if level is not TextLevel.NAME_ONLY and GENE in known:
        clauses.append(f"Target: {known[GENE]}.")
    if level is TextLevel.FULL and MOA_LIST in known:
        clauses.append(f"Function: {known[MOA_LIST].replace('|', ', ')}.")
    if level is TextLevel.FULL and SMILES in known:
        clauses.append(f"SMILES: {known[SMILES]}.")
    return " ".join(clauses)


def prompt_digest(prompt: str) -> str:
    """SHA-256 of the words: what text features are looked up by."""
    return hashlib.sha256(prompt.encode()).hexdigest()


def prompt_table(perturbations: pd.DataFrame, level: TextLevel) -> pd.DataFrame:
    """One prompt a perturbation; perturbations that share words share a digest."""
    prompts = [prompt_of(row, level) for row in perturbations.to_dict("records")]
    return perturbations[[MODALITY, BROAD_SAMPLE]].assign(
        **{PROMPT: prompts, PROMPT_DIGEST: [prompt_digest(prompt) for prompt in prompts]}
    )
