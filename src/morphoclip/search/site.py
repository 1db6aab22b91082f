"""A single site as a question: its tokens through the image tower, by themselves."""

import re

import numpy as np
import pandas as pd
import torch

from morphoclip.columns import N_SITES, PLATE, SITE, WELL
from morphoclip.errors import InputError, example_of
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.loaders import Loaders
from morphoclip.models.embedding import embed_wells
from morphoclip.models.trained import TrainedModel
from morphoclip.search.index import SearchIndex
from morphoclip.search.question import Question
from morphoclip.search.questions import question_of_rows
from morphoclip.well_names import well_name, well_position
from morphoclip.wells.batch import WellBatch
from morphoclip.wells.featured import FeaturedWells, wells_with_features

_SITE = re.compile(r"(?P<plate>.+?)[\s:/]+(?P<well>[A-Za-z]{1,2}\d{1,2})[\s:/]+(?P<site>\d{1,4})")


def question_of_site(
    text: str,
    index: SearchIndex,
    trained: TrainedModel,
    plate_features: Loaders[PlateFeatures],
    well_index: pd.DataFrame,
) -> Question:
    """The site that a text names by plate, well and number; its well is no answer.

    Args:
        text: ``BR00117010 A01 3``.
        index: What is asked.
        trained: The model that made the index.
        plate_features: Barcode -> a function that loads the plate.
        well_index: The wells, for the controls that the plate is normalised by.

    Raises:
        InputError: The text names no site, or one without features.
    """
    match = _SITE.fullmatch(text.strip())
    if match is None:
        raise InputError(
            f"{text!r} names no site: write the plate, the well and the number of the site, "
            "BR00117010 A01 3"
        )
    plate, name = match["plate"], well_name(*well_position(match["well"]))
    if plate not in plate_features:
        raise InputError(
            f"plate {plate} has no features; these have: {example_of(sorted(plate_features))}"
        )
    of_plate = well_index[well_index[PLATE] == plate]
    featured = wells_with_features(
        {plate: plate_features[plate]}, of_plate, trained.config.token_normalisation
    )
    trained.require_image_features(featured.fingerprint)
    sites = plate_features[plate]().sites
    numbers = sorted(sites.loc[sites[WELL] == name, SITE])
    if int(match["site"]) not in numbers:
        raise InputError(
            f"well {name} of plate {plate} has no site {match['site']} with features; it has: "
            f"{', '.join(map(str, numbers)) or 'none'}"
        )
    row = int(np.flatnonzero((featured.table[WELL] == name).to_numpy())[0])
    place = numbers.index(int(match["site"]))
    own = featured.sites.read(torch.tensor([row])).tokens[place : place + 1]
    alone = WellBatch(own, torch.tensor([0, 1]))
    table = featured.table.iloc[[row]].assign(**{N_SITES: 1}).reset_index(drop=True)
    one = FeaturedWells(table, alone, featured.fingerprint)
    vector = embed_wells(trained, one, batch_size=1, device="cpu").image[0]
    rows = np.flatnonzero((index.wells[PLATE] == plate) & (index.wells[WELL] == name))
    label = f"site: {plate} {name} {match['site']}"
    if not len(rows):
        return Question(label, vector)
    return question_of_rows(label, rows, index)._replace(vector=vector)
