"""Wells and what was done to them: the one table that later stages read."""

import logging
import re

import pandas as pd

from morphoclip.columns import (
    N_SITES,
    PLATE,
    WELL,
)
from morphoclip.errors import InputError, example_of
from morphoclip.table_checks import refuse_repeats, require_rows, wells_of

logger = logging.getLogger(__name__)


def with_site_counts(well_index: pd.DataFrame, sites: pd.DataFrame) -> pd.DataFrame:
    """The well index with the number of distinct rows of ``sites`` per well."""
    counts = sites.groupby([PLATE, WELL]).size().rename(N_SITES)
    keys = pd.MultiIndex.from_frame(well_index[[PLATE, WELL]])
    unknown = counts[~counts.index.isin(keys)]
    if len(unknown):
        logger.warning(
            "%d well(s) of %d plate(s) have images or profiles and no row in the table of wells, "
            "and are left out: %s",
            len(unknown),
            unknown.index.get_level_values(PLATE).nunique(),
            example_of(" ".join(place) for place in unknown.index),
        )
    return well_index.assign(**{N_SITES: counts.reindex(keys, fill_value=0).to_numpy()})


_FULL_CONDITION = re.compile(
    r"(\w+)\|([^| ]+)\|(\d+)\|([^| ]+)\|([^| ]+)\|(\S+?)(?=$| and | to |, )"
)


def readable_condition(condition: str) -> str:
    """``compound|U2OS|48|100|absent|Parental``, or several such, for people.

    Density and antibiotics are named where they differ from CPJUMP1's standard: 100 %, none.
    """
    named = _FULL_CONDITION.sub(_readable, condition)
    return re.sub(r"(\w+\|[^| ]+\|\d+)", r"\1 h", named).replace("|", " ")


def _readable(match: re.Match[str]) -> str:
    modality, cell_type, time, density, antibiotics, cell_line = match.groups()
    special = "" if density == "100" else f", density {density}"
    special += "" if antibiotics == "absent" else f", {antibiotics}"
    return f"{modality} {cell_type} {cell_line} {time} h{special}"


def join_well_index(table: pd.DataFrame, well_index: pd.DataFrame, file: str) -> pd.DataFrame:
    """Rows of a user's table, in its order, with what was done to each well.

    Args:
        table: With plates and wells.
        well_index: Of the ingested plates.
        file: What sentences call the table.

    Raises:
        InputError: A column is missing, a well is listed twice or is in no well index.
    """
    require_rows(table, {PLATE, WELL}, file)
    places = table[[PLATE, WELL]].reset_index(drop=True)
    places = places.assign(
        **{WELL: wells_of(places[WELL], file), PLATE: places[PLATE].astype("str")}
    )
    refuse_repeats(places.assign(well=_place_of(places)), "well", file, "keep one row per well")
    joined = places.merge(well_index, on=[PLATE, WELL], how="left", indicator="found")
    unknown = joined[joined["found"] == "left_only"]
    if len(unknown):
        raise InputError(
            f"{len(unknown)} well(s) of {file} are not in the well index: "
            f"{example_of(_place_of(unknown))}; run ingestion (or the profiles pipeline) with "
            "those plates"
        )
    return joined.drop(columns="found")


def _place_of(wells: pd.DataFrame) -> pd.Series:
    return wells[PLATE] + " " + wells[WELL]
