"""Which wells of a lab's table are controls, by the words that it has for them."""

import logging

import pandas as pd

from morphoclip.columns import BROAD_SAMPLE, ROLE, Role
from morphoclip.errors import example_of
from morphoclip.perturbations.well_columns import FILE
from morphoclip.table_checks import refuse_lines

logger = logging.getLogger(__name__)

_VEHICLES = ("dmso", "untreated", "vehicle", "water", "pbs", "media", "medium", "control")
"""What a lab calls its controls, lower case."""
_CONTROLS = {
    "": Role.TRT,
    "trt": Role.TRT,
    "treatment": Role.TRT,
    "negcon": Role.NEGCON,
    "poscon": Role.POSCON_CP,
    "poscon_cp": Role.POSCON_CP,
    "poscon_orf": Role.POSCON_ORF,
    "poscon_diverse": Role.POSCON_DIVERSE,
    "empty": Role.EMPTY,
    "blank": Role.EMPTY,
}


def roles_of(wells: pd.DataFrame) -> pd.Series:
    """The role of each well, from the column control; treatments with a control's name are said.

    Raises:
        InputError: A word is not known.
    """
    words = wells[ROLE].fillna("").str.lower().str.strip()
    ids = wells[BROAD_SAMPLE].str.lower().where(words == "")
    vehicles = ids[ids.isin(_VEHICLES)]
    if len(vehicles):
        logger.warning(
            "%s: %d well(s) of %s are treatments, e.g. line %d, since their column control is "
            "blank; write negcon there if they are controls",
            FILE,
            len(vehicles),
            example_of(sorted(set(wells.loc[vehicles.index, BROAD_SAMPLE]))),
            vehicles.index[0],
        )
    refuse_lines(
        wells.loc[~words.isin(_CONTROLS), ROLE],
        "row(s) have a word in the column control that is not known",
        FILE,
        "known are negcon, poscon, empty and blank; treatments have none",
    )
    return words.map(lambda word: str(_CONTROLS[word])).astype("str")
