"""What a user asks with, as vectors of the space: words, a treatment, a well, a structure."""

import logging
import re
from collections.abc import Callable
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morphoclip.columns import BROAD_SAMPLE, CONDITION, ENTITY, PERT_INAME, PLATE, SMILES, WELL
from morphoclip.errors import InputError, example_of
from morphoclip.evaluation.treatments import MECHANISMS, shows_few_cells
from morphoclip.metrics.matrix import unit_rows
from morphoclip.perturbations.known_facts import fingerprint_bits
from morphoclip.search.index import TARGETS, SearchIndex
from morphoclip.search.names import named_in
from morphoclip.search.question import Question
from morphoclip.well_names import well_name, well_position

logger = logging.getLogger(__name__)

Kind = Literal["text", "treatment", "well", "structure"]
EmbedText = Callable[[str], NDArray[np.float32]]
"""Words to a unit vector ``(E,)``."""

_SHORTEST_STRUCTURE = 6
LONGEST = 10_000
"""Characters of a question; a longer one is no question."""

_WELL = re.compile(r"(?P<plate>.+?)[\s:/]+(?P<well>[A-Za-z]{1,2}\d{1,2})")


def kind_of(text: str, index: SearchIndex) -> Kind:
    """What a question is, by what it names: a well, a treatment, a structure; words otherwise."""
    text = text.strip()
    if (match := _WELL.fullmatch(text)) and match["plate"] in index.plates:
        return "well"
    if text.lower() in index.names:
        return "treatment"
    return "structure" if text in index.structures or _is_structure(text) else "text"


def _is_structure(text: str) -> bool:
    """Whether one word of some length with a bond, ring or branch is a SMILES that rdkit reads."""
    if len(text) < _SHORTEST_STRUCTURE or not re.fullmatch(r"\S*[=#()\[\]1-9]\S*", text):
        return False
    try:
        return fingerprint_bits([text])[0] is not None
    except InputError:  # rdkit is not installed
        return False


def questions_of(
    text: str, index: SearchIndex, embed_text: EmbedText, kind: Kind | None = None
) -> list[Question]:
    """One question, or for a treatment one per condition.

    Args:
        text: Words, a name, a plate and a well, or a SMILES.
        index: What is asked.
        embed_text: Words to a vector.
        kind: What the text is; by what it names, where not given.

    Raises:
        InputError: Nothing has the name, or the text is empty or too long.
    """
    text = text.strip()
    if not text:
        raise InputError("there is no question: give words, a treatment, or a plate and a well")
    if len(text) > LONGEST:
        raise InputError(f"the question has {len(text):,} characters; at most {LONGEST:,} are read")
    match kind or kind_of(text, index):
        case "well":
            return [_of_well(text, index)]
        case "treatment":
            return _of_treatment(text, index)
        case "structure":
            return [_of_structure(text, index, embed_text)]
        case _:
            return [_of_words(f"text: {text}", text, index, embed_text)]


def _of_words(label: str, text: str, index: SearchIndex, embed_text: EmbedText) -> Question:
    named = [_names_in(text, index.treatments[facts]) for facts in (TARGETS, MECHANISMS)]
    return Question(label, embed_text(text), named[0], named[1])


def _names_in(text: str, entries: pd.Series) -> tuple[str, ...]:
    distinct = pd.Series(
        [(name,) for name in dict.fromkeys(entries.explode().dropna())], dtype=object
    )
    return tuple(name for name in named_in(text, distinct) if name)


def _of_well(text: str, index: SearchIndex) -> Question:
    match = _WELL.fullmatch(text)
    if match is None:
        raise InputError(f"{text!r} names no well: write the plate and the well, BR00117010 A01")
    name = well_name(*well_position(match["well"]))
    rows = np.flatnonzero((index.wells[PLATE] == match["plate"]) & (index.wells[WELL] == name))
    if not len(rows):
        plates = sorted(index.plates)
        raise InputError(
            f"there is no profile of well {name} of plate {match['plate']}; the {len(plates)} "
            f"plate(s) are {example_of(plates)}"
        )
    return question_of_rows(f"well: {match['plate']} {name}", rows, index)


def _of_treatment(text: str, index: SearchIndex) -> list[Question]:
    named = index.rows_named(text)
    conditions = index.wells[CONDITION].iloc[named]
    return [
        question_of_rows(
            f"treatment: {text}",
            named[(conditions == condition).to_numpy()],
            index,
        )
        for condition in conditions.unique()
    ]


def question_of_rows(label: str, rows: NDArray[np.int64], index: SearchIndex) -> Question:
    """The mean of some wells of a condition."""
    mean = unit_rows(index.profiles[rows].astype(np.float64)).mean(axis=0)
    facts, wells = index.facts_of(rows), index.wells.iloc[rows]
    targets = tuple(dict.fromkeys(name for names in facts[TARGETS] for name in names))
    mechanisms = tuple(dict.fromkeys(name for names in facts[MECHANISMS] for name in names))
    vector = mean / max(float(np.linalg.norm(mean)), 1e-12)
    return Question(
        label=label,
        vector=vector,
        targets=targets,
        mechanisms=mechanisms,
        rows=rows,
        condition=str(wells[CONDITION].iloc[0]),
        entities=frozenset(wells[ENTITY].dropna()),
        few_cells=bool(shows_few_cells(wells).mean() >= 0.5),
    )


def _of_structure(text: str, index: SearchIndex, embed_text: EmbedText) -> Question:
    """A SMILES, read as a prompt says it; logs the known compounds most like it."""
    try:
        nearest = nearest_structures(text, index.perturbations, number=3)
    except InputError as error:
        if text not in index.structures:
            raise
        logger.info("similar structures are not looked up: %s", error)
        nearest = pd.Series(dtype=float)
    for name, likeness in nearest.items():
        logger.info("%s has a Tanimoto similarity of %.2f to this structure", name, likeness)
    return Question(f"structure: {text}", embed_text(f"SMILES: {text}."))


def nearest_structures(smiles: str, perturbations: pd.DataFrame, *, number: int) -> pd.Series:
    """Tanimoto similarity of the known compounds whose Morgan fingerprints are most alike.

    Raises:
        InputError: rdkit is not installed, or cannot read the structure.
    """
    known = perturbations.dropna(subset=[SMILES]).drop_duplicates(SMILES)
    asked, *others = fingerprint_bits([smiles, *known[SMILES]])
    if not asked:
        raise InputError(f"{smiles[:60]!r} is no structure that rdkit can read as SMILES")
    own = set(asked)
    likeness = [len(own & set(bits)) / len(own | set(bits)) if bits else 0.0 for bits in others]
    names = known[PERT_INAME].fillna(known[BROAD_SAMPLE])
    return pd.Series(likeness, index=names.to_numpy()).sort_values(ascending=False).head(number)
