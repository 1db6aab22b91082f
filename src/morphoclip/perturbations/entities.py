"""Which perturbations are one thing under several IDs, and what type the spec counts each as."""

import pandas as pd

from morphoclip.columns import (
    BROAD_SAMPLE,
    GENE,
    GENETIC,
    INCHIKEY,
    PERT_INAME,
    ROLE,
    SMILES,
    Modality,
    PerturbationType,
    Role,
)
from morphoclip.perturbations.doses import without_dose

_POSCON = {Role.POSCON_CP, Role.POSCON_ORF, Role.POSCON_DIVERSE}


def perturbation_type(modality: Modality, role: Role) -> str:
    """Control, or the modality (training spec, "Perturbation types")."""
    if role is Role.NEGCON:
        return str(PerturbationType.NEGCON)
    if role in _POSCON:
        return str(PerturbationType.POSCON)
    return str(PerturbationType(modality.upper()))


def entities_of(modality: Modality, table: pd.DataFrame) -> list[str]:
    """Leakage groups: a gene's guides, a gene's ORFs, a compound under all IDs, names and doses.

    Structures are compared by the first block of the InChIKey, which leaves stereochemistry out:
    some dialects of the table keep it and others do not. Without an InChIKey, SMILES are compared
    as they are written.
    """
    if modality in GENETIC:
        genes = table[GENE].mask(table[ROLE] == Role.NEGCON, "negcon")  # they share a prompt
        return [f"{modality}:{gene}" for gene in genes]
    first_of: dict[str, str] = {}
    parent: dict[str, str] = {}

    def root(sample: str) -> str:
        while parent[sample] != sample:
            sample = parent[sample]
        return sample

    rows = table.sort_values(BROAD_SAMPLE)
    facts = zip(
        rows[BROAD_SAMPLE],
        without_dose(rows[BROAD_SAMPLE]),
        rows[PERT_INAME],
        rows[INCHIKEY],
        rows[SMILES],
        strict=True,
    )
    for sample, undosed, name, key, smiles in facts:
        parent[sample] = sample
        aliases = [f"ID {undosed}"] if undosed != sample else []
        aliases += [f"name {name.casefold()}"] if isinstance(name, str) else []
        if isinstance(key, str):
            aliases.append(f"structure {key.split('-')[0]}")
        elif isinstance(smiles, str):
            aliases.append(f"SMILES {smiles}")
        for alias in aliases:
            one, other = sorted((root(first_of.setdefault(alias, sample)), root(sample)))
            parent[other] = one
    return [f"{modality}:{root(sample)}" for sample in table[BROAD_SAMPLE]]
