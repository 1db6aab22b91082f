"""Cells beside the numbers of a report: a site of a treatment, and of a control of its plate."""

import base64
import logging
from typing import NamedTuple

import pandas as pd

from morphoclip.columns import BROAD_SAMPLE, CONDITION, PROMPT_DIGEST
from morphoclip.metrics.conditions import treated_wells
from morphoclip.perturbations.prompts import prompt_digest
from morphoclip.wells.pictures import WellPictures

logger = logging.getLogger(__name__)


class CellPair(NamedTuple):
    """Two pictures as WebP in base64, and the wells that they are of."""

    own: str
    control: str | None
    words: str


class ReportCells:
    """Finds pictures for what a report's examples name."""

    def __init__(self, pictures: WellPictures, wells: pd.DataFrame) -> None:
        self._pictures, self._wells = pictures, wells[treated_wells(wells)]

    def of_prompt(self, prompt: str) -> CellPair | None:
        """Of the wells whose treatment a prompt describes."""
        return self._of(self._wells[PROMPT_DIGEST] == prompt_digest(prompt))

    def of_treatment(self, sample: str, condition: str) -> CellPair | None:
        """Of a treatment's wells in a condition."""
        wells = self._wells
        return self._of((wells[BROAD_SAMPLE] == sample) & (wells[CONDITION] == condition))

    def _of(self, chosen: pd.Series) -> CellPair | None:
        place = self._pictures.first_shown(self._wells[chosen])
        if place is None:
            return None
        control = self._pictures.control_beside(*place)
        beside = "" if control is None else f", beside the negative control {control}"
        try:
            return CellPair(
                self._inline(*place),
                None if control is None else self._inline(place[0], control),
                f"plate {place[0]}, well {place[1]}{beside}",
            )
        except ValueError as error:
            logger.warning("a picture of plate %s is left out of the report: %s", place[0], error)
            return None

    def _inline(self, plate: str, well: str) -> str:
        content = self._pictures.picture(self._pictures.of(plate, well)[0], "composite")
        return base64.b64encode(content or b"").decode()
