"""CPJUMP1's published counts: metadata that differ are another file version, or damaged.

Numbers: Chandrasekaran et al. 2024 and the JUMP-Target-1 tables.
"""

from collections.abc import Mapping

import pandas as pd

from morphoclip.columns import (
    ENTITY,
    GENE,
    JUMP_TARGET,
    MODALITY,
    PLATE,
    ROLE,
    Modality,
    Role,
)
from morphoclip.errors import InputError

PERTURBATIONS = {
    Modality.COMPOUND: {
        Role.TRT: 260,
        Role.POSCON_CP: 26,
        Role.POSCON_DIVERSE: 14,
        Role.POSCON_ORF: 6,
        Role.NEGCON: 1,
    },
    Modality.CRISPR: {
        Role.TRT: 247,
        Role.POSCON_CP: 25,
        Role.POSCON_DIVERSE: 28,
        Role.POSCON_ORF: 5,
        Role.NEGCON: 30,
    },
    Modality.ORF: {
        Role.TRT: 130,
        Role.POSCON_CP: 13,
        Role.POSCON_DIVERSE: 14,
        Role.POSCON_ORF: 3,
        Role.NEGCON: 15,
    },
}
"""IDs per modality and role; the compounds' negative control is DMSO."""

ENTITIES = {Modality.COMPOUND: 301, Modality.CRISPR: 160, Modality.ORF: 160}
"""Compounds under all of their names, genes; negative controls are left out."""

CONTROL_WELLS = {
    Modality.COMPOUND: {Role.NEGCON: 64, Role.EMPTY: 0},
    Modality.CRISPR: {Role.NEGCON: 60, Role.EMPTY: 4},
    Modality.ORF: {Role.NEGCON: 60, Role.EMPTY: 4},
}
"""Wells per plate; 320 of 384 hold treatments and positive controls on every plate."""

WELLS = 384

PLATES = {Modality.COMPOUND: 24, Modality.CRISPR: 18, Modality.ORF: 9}
"""Plates of the batch 2020_11_04_CPJUMP1."""


def require_cpjump1(
    perturbations: pd.DataFrame, wells: pd.DataFrame, modality_of_barcode: Mapping[str, Modality]
) -> None:
    """Compare the tables with CPJUMP1's counts.

    Args:
        perturbations: The table of perturbations.
        wells: The well index of some or all plates.
        modality_of_barcode: Every barcode of the map.

    Raises:
        InputError: A count differs.
    """
    differing = [
        *_perturbation_differences(perturbations),
        *_plate_differences(pd.Series(modality_of_barcode, dtype="str")),
        *_well_differences(wells),
    ]
    if differing:
        more = f", and {len(differing) - 1} more differ" if len(differing) > 1 else ""
        raise InputError(
            f"these metadata are not CPJUMP1's: {differing[0]}{more}; if this is another "
            "experiment, set ingestion.experiment to other; else download the metadata again"
        )


def _perturbation_differences(perturbations: pd.DataFrame) -> list[str]:
    found = perturbations.groupby([MODALITY, ROLE]).size()
    treated = perturbations[perturbations[ROLE] != Role.NEGCON]
    entities = treated.groupby(MODALITY)[ENTITY].nunique()
    genes = [set(treated.loc[treated[MODALITY] == m, GENE].dropna()) for m in JUMP_TARGET]
    differing = [
        f"{found.get((modality, role), 0)} {modality} {role} IDs, not {number}"
        for modality, roles in PERTURBATIONS.items()
        for role, number in roles.items()
        if found.get((modality, role), 0) != number
    ]
    differing += [
        f"{entities.get(modality, 0)} distinct {modality} entities, not {number}"
        for modality, number in ENTITIES.items()
        if entities.get(modality, 0) != number
    ]
    if genes[0] and len(genes[0] & genes[1] & genes[2]) != 160:  # some dialects name no target
        differing.append(f"{len(set.intersection(*genes))} genes in all modalities, not 160")
    return differing


def _plate_differences(modalities: pd.Series) -> list[str]:
    found = modalities.value_counts()
    return [
        f"{found.get(modality, 0)} {modality} plates in barcode_platemap.csv, not {number}"
        for modality, number in PLATES.items()
        if found.get(modality, 0) != number
    ]


def _well_differences(wells: pd.DataFrame) -> list[str]:
    differing = []
    for (plate, modality), rows in wells.groupby([PLATE, MODALITY]):
        roles = rows[ROLE].value_counts()
        if len(rows) != WELLS:
            differing.append(f"plate {plate} has {len(rows)} wells, not {WELLS}")
        differing += [
            f"plate {plate} has {roles.get(role, 0)} {role} wells, not {number}"
            for role, number in CONTROL_WELLS[Modality(modality)].items()
            if roles.get(role, 0) != number
        ]
    return differing
