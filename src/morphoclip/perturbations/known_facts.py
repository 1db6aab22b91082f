"""What tables say of treatments besides the words of their prompts, as numbers.

Names become columns of 0 and 1, a structure its Morgan fingerprint (Rogers and Hahn 2010,
doi:10.1021/ci100050t), a dose its place on a logarithmic scale. What is not known is a row of
zeros: absence is no fact.
"""

import logging
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morphoclip.columns import (
    BROAD_SAMPLE,
    DOSE,
    GENE,
    MOA_LIST,
    MODALITY,
    PROMPT_DIGEST,
    ROLE,
    SMILES,
    TARGET_LIST,
    Role,
)
from morphoclip.errors import InputError, example_of
from morphoclip.perturbations.genes import entries_of

logger = logging.getLogger(__name__)

FactSource = Literal["target", "targets", "mechanisms", "structure", "dose"]

FINGERPRINT_BITS = 2048
_FINGERPRINT_RADIUS = 2
_STEPS_PER_DECADE = 2

Known = Mapping[str, float]
"""Names of columns to values; others are 0."""


@dataclass(frozen=True)
class KnownFacts:
    """Facts about P prompts.

    Attributes:
        names: By source the names of its columns; sources lie side by side, in this order.
        values: ``(P, F)``, F columns of all sources together.
    """

    names: Mapping[str, tuple[str, ...]]
    values: NDArray[np.float32]


def known_facts(
    perturbations: pd.DataFrame,
    prompts: pd.DataFrame,
    digests: Sequence[str],
    sources: Sequence[FactSource],
) -> KnownFacts:
    """What is known of the treatments that these prompts describe, of negative controls nothing.

    Where several treatments share a prompt, a column holds the largest of their values.

    Args:
        perturbations: Genes, targets, mechanisms, structures and doses.
        prompts: The prompt of each perturbation.
        digests: The prompts to describe, P of them.
        sources: What to look up.

    Raises:
        InputError: Structures are asked for and rdkit is not installed.
    """
    described = prompts[[MODALITY, BROAD_SAMPLE, PROMPT_DIGEST]].drop_duplicates()
    facts = described.merge(perturbations, on=[MODALITY, BROAD_SAMPLE], how="left")
    facts = facts[facts[ROLE] != Role.NEGCON]
    row_of = {digest: row for row, digest in enumerate(digests)}
    names: dict[str, tuple[str, ...]] = {}
    parts = []
    for source in sources:
        known = list(_LOOK_UP[source](facts))
        if not any(known):
            logger.warning("nothing is known from the source %s of text_features.facts", source)
            continue
        rows = [row_of.get(digest) for digest in facts[PROMPT_DIGEST]]
        columns = _column_names(source, known)
        place = {name: column for column, name in enumerate(columns)}
        values = np.zeros((len(digests), len(columns)), dtype=np.float32)
        for row, of_treatment in zip(rows, known, strict=True):
            if row is not None:
                for name, value in of_treatment.items():
                    values[row, place[name]] = max(values[row, place[name]], value)
        names[source] = columns
        parts.append(values)
    together = np.concatenate(parts, axis=1) if parts else np.zeros((len(digests), 0), np.float32)
    return KnownFacts(names, together)


def _column_names(source: FactSource, known: Iterable[Known]) -> tuple[str, ...]:
    """Of structures all bits, so that the fingerprints of two tables have the same columns."""
    if source == "structure":
        return tuple(str(bit) for bit in range(FINGERPRINT_BITS))
    return tuple(sorted({name for of_treatment in known for name in of_treatment}))


def _listed(column: str) -> Callable[[pd.DataFrame], Iterable[Known]]:
    return lambda facts: [dict.fromkeys(names, 1.0) for names in entries_of(facts[column])]


def _doses(facts: pd.DataFrame) -> list[Known]:
    """Two neighbouring marks of half a decade, weighted by how near the dose is to each."""
    return [_marks(dose) if isinstance(dose, str) else {} for dose in facts[DOSE]]


def _marks(dose: str) -> Known:
    number, _, unit = dose.partition(" ")
    if not float(number) > 0:
        return {f"0 {unit}": 1.0}
    place = float(np.log10(float(number))) * _STEPS_PER_DECADE
    below = int(np.floor(place))
    weights = {below: 1 - (place - below), below + 1: place - below}
    return {f"1e{mark / _STEPS_PER_DECADE:g} {unit}": w for mark, w in weights.items() if w > 0}


def _structures(facts: pd.DataFrame) -> list[Known]:
    """The bits of each structure's fingerprint; those that rdkit cannot read are logged."""
    distinct = facts[SMILES].dropna().unique()
    bits = fingerprint_bits(list(distinct))
    bits_of = dict(zip(distinct, bits, strict=True))
    unread = [smiles for smiles, of_smiles in bits_of.items() if of_smiles is None]
    if unread:
        logger.warning(
            "%d of %d structures cannot be read by rdkit and count as unknown: %s",
            len(unread),
            len(distinct),
            example_of(unread),
        )
    return [
        {str(bit): 1.0 for bit in bits_of.get(smiles) or ()} if isinstance(smiles, str) else {}
        for smiles in facts[SMILES]
    ]


def fingerprint_bits(structures: Sequence[str]) -> list[tuple[int, ...] | None]:
    """Set bits of the Morgan fingerprint (radius 2, 2,048 bits) of SMILES; None where unreadable.

    Raises:
        InputError: rdkit is not installed.
    """
    chemistry: Any
    try:
        from rdkit import Chem, rdBase
        from rdkit.Chem import rdFingerprintGenerator as chemistry
    except ImportError as error:
        raise InputError(
            "structures need rdkit, which is not installed: pip install 'morphoclip[structure]', "
            "or leave structure out of text_features.facts"
        ) from error
    generator = chemistry.GetMorganGenerator(radius=_FINGERPRINT_RADIUS, fpSize=FINGERPRINT_BITS)
    with rdBase.BlockLogs():
        molecules = [Chem.MolFromSmiles(smiles) for smiles in structures]
    return [
        tuple(generator.GetFingerprint(molecule).GetOnBits()) if molecule is not None else None
        for molecule in molecules
    ]


_LOOK_UP: Mapping[str, Callable[[pd.DataFrame], Iterable[Known]]] = {
    "target": _listed(GENE),
    "targets": _listed(TARGET_LIST),
    "mechanisms": _listed(MOA_LIST),
    "structure": _structures,
    "dose": _doses,
}
