"""Treatments by their names, and names that stand in a text."""

import difflib
import logging
import re

import pandas as pd

from morphoclip.columns import BROAD_SAMPLE, GENE, GENETIC, MODALITY, PERT_INAME
from morphoclip.errors import InputError, example_of
from morphoclip.metrics.conditions import treated_wells

logger = logging.getLogger(__name__)


def named_in(text: str, entries: pd.Series) -> list[str | None]:
    """Of each tuple the names that stand in a text as words, ``A|B``; None where that is none."""
    words = f" {' '.join(re.findall(r'[a-z0-9]+', text.lower()))} "

    def is_named(name: str) -> bool:
        return f" {' '.join(re.findall(r'[a-z0-9]+', name.lower()))} " in words

    return ["|".join(filter(is_named, names)) or None for names in entries]


def lower_names(wells: pd.DataFrame, perturbations: pd.DataFrame) -> pd.DataFrame:
    """ID, compound name and perturbed gene that each well goes by, in lower case, ``(B, 3)``."""
    keys = pd.MultiIndex.from_frame(wells[[MODALITY, BROAD_SAMPLE]])
    compound_names = perturbations.set_index([MODALITY, BROAD_SAMPLE])[PERT_INAME].reindex(keys)
    names = {
        "id": wells[BROAD_SAMPLE],
        "compound": compound_names.to_numpy(),
        "gene": wells[GENE].where(wells[MODALITY].isin(GENETIC)),
    }
    return pd.DataFrame(names).astype("str").apply(lambda column: column.str.lower())


def wells_named(name: str, profiles: pd.DataFrame, perturbations: pd.DataFrame) -> pd.Series:
    """Which treated wells are of a broad_sample, a compound or a gene of this name, ``(B,)``.

    Raises:
        InputError: No treatment has this name; lists names that are spelled similarly.
    """
    names = lower_names(profiles, perturbations)
    has_name, treated = names.eq(name.strip().lower()).any(axis=1), treated_wells(profiles)
    if has_name.any() and not (has_name & treated).any():
        raise InputError(
            f"{name} is a control here: treatments are compared with each other, and their "
            "similarity is held against that of controls (z); ask about a treatment"
        )
    names, matches = names[treated], has_name[treated]
    ids = profiles.loc[matches.index[matches], BROAD_SAMPLE].unique()
    if len(ids) > 1:
        logger.info("%s stands for %d IDs together: %s", name, len(ids), example_of(ids, limit=5))
    if not matches.any():
        candidates = {text for text in names.to_numpy().ravel() if isinstance(text, str)}
        close = difflib.get_close_matches(name.lower(), sorted(candidates), n=3)
        hint = f"; did you mean {' or '.join(close)}?" if close else ""
        raise InputError(
            f"no treatment of these profiles has the name {name}, by broad_sample, compound or gene"
            f"{hint}"
        )
    return matches.reindex(profiles.index, fill_value=False)
