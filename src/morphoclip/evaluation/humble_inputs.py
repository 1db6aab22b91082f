"""What a trained model has to beat besides its own inputs: the number of cells, and random weights.

On JUMP's plates the number of cells alone reaches half of CellProfiler's activity score, so a table
without that row flatters every model.
"""

import logging
from collections.abc import Mapping

import numpy as np
import pandas as pd

from morphoclip.columns import PLATE, WELL
from morphoclip.evaluation.perturbation_sets import mean_features
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.features.text_features import TextFeatures
from morphoclip.loaders import Loaders
from morphoclip.metrics.benchmark import benchmark
from morphoclip.metrics.chance import NullConfig
from morphoclip.metrics.matrix import Matrix
from morphoclip.plate_correction import TokenNormalisation
from morphoclip.well_names import well_position
from morphoclip.wells.assemble import Wells, assemble_wells

logger = logging.getLogger(__name__)

CELL_COUNT, UNTRAINED_BACKBONE = "cell_count", "untrained_backbone"
WELL_POSITION = "well_position"


def cell_counts(well_quality: pd.DataFrame | None) -> pd.DataFrame | None:
    """Nuclei of each well over those of its plate's controls, as a log, by plate and well.

    None where nothing was counted.
    """
    if well_quality is None or well_quality["nuclei"].isna().all():
        return None
    counted = well_quality.dropna(subset=["nuclei"])
    return counted.set_index([PLATE, WELL])[["nuclei_log_ratio"]]


def well_positions(wells: pd.DataFrame) -> pd.DataFrame:
    """Row and column of each well, by plate and well."""
    positions = [well_position(well) for well in wells[WELL]]
    keys = pd.MultiIndex.from_frame(wells[[PLATE, WELL]])
    return pd.DataFrame(positions, index=keys, columns=["row", "column"]).astype(float)


def on_a_quarter_circle(numbers: Matrix, rng: np.random.Generator) -> Matrix:
    """The order of numbers ``(B,)`` as unit vectors ``(B, 2)``, a quarter circle from end to end.

    What compares profiles by cosine then compares these by how many wells lie between two. Equal
    numbers, of which counts have many, fall in a random order: ties would count as matches.
    """
    order = np.lexsort((rng.random(len(numbers)), numbers))
    rank = np.empty(len(numbers))
    rank[order] = np.linspace(0, 1, len(numbers))
    return np.stack([np.cos(np.pi / 2 * rank), np.sin(np.pi / 2 * rank)], axis=1)


def benchmark_of_tables(
    wells: pd.DataFrame, tables: Mapping[str, pd.DataFrame], null: NullConfig
) -> pd.DataFrame:
    """The CPJUMP1 benchmark of each table of profiles, which plate and well index.

    Args:
        wells: ``Metadata_*`` of wells, with role, condition, reference and subset.
        tables: By the name that they have in the result; of wells that a table lacks, nothing.
        null: Draws and seed.
    """
    keys = pd.MultiIndex.from_frame(wells[[PLATE, WELL]])
    scored = []
    for name, table in tables.items():
        present = keys.isin(table.index)
        matrix = table.loc[keys[present]].to_numpy()
        if name == CELL_COUNT:
            matrix = on_a_quarter_circle(matrix[:, 0], np.random.default_rng(null.seed))
        words = name.replace("_", " ")
        scored.append(benchmark(wells[present], matrix, null, profiles=words))
    return pd.concat(scored, ignore_index=True)


def other_inputs(
    well_quality: pd.DataFrame | None,
    feature_sets: Loaders[PlateFeatures],
    untrained: str | None,
    wells: Wells,
    prompts: pd.DataFrame,
    text_features: TextFeatures,
    normalisation: TokenNormalisation,
) -> dict[str, pd.DataFrame]:
    """Positions, cell counts and the untrained backbone's features of these wells, where known.

    Args:
        well_quality: With the nuclei of each well.
        feature_sets: All of them, ``<name>/<barcode>``.
        untrained: Name of the untrained backbone's set.
        wells: The wells to describe.
        prompts: The prompt of each perturbation.
        text_features: Features of those prompts.
        normalisation: Of the untrained backbone's tokens, as of the model's.
    """
    others = {WELL_POSITION: well_positions(wells.table)}
    counts = cell_counts(well_quality)
    if counts is not None:
        others[CELL_COUNT] = counts
    names = set(wells.table[PLATE])
    plates = {name: feature_sets.get(f"{untrained}/{name}") for name in names}
    found = {name: load for name, load in plates.items() if load is not None}
    random = None
    if found.keys() == names:
        random = assemble_wells(found, wells.table, prompts, text_features, normalisation)
        differing = _not_a_twin(wells, random)
        if differing:
            logger.warning(
                "the feature set %s is no untrained twin of these features (%s); there is no row "
                "for it", untrained, "; ".join(differing),
            )  # fmt: skip
        else:
            others[UNTRAINED_BACKBONE] = mean_features(random)
    elif is_of_images(wells) and not is_untrained(wells):
        logger.info(
            "there is no row for an untrained backbone; to have one: kedro run --pipeline "
            "image_features, with the parameters of these features and --params "
            "image_features.name:%s,image_features.backbone.kind:untrained,"
            "image_features.backbone.untrained.like:<hub id or folder of %s>",
            untrained or "untrained",
            wells.image_fingerprint["model"],
        )
    return others


def _not_a_twin(wells: Wells, random: Wells) -> list[str]:
    """In what the features of an untrained backbone differ, besides its weights."""
    if not is_untrained(random):
        return [f"model: {random.image_fingerprint.get('model', 'absent')}, which is trained"]
    ours, theirs = wells.image_fingerprint, random.image_fingerprint
    keys = ("channels", "normalise", "size", "resize", "illumination")
    return [
        f"{key}: {theirs.get(key)}, not {ours[key]}"
        for key in keys
        if key in ours and theirs.get(key) != ours[key]
    ]


def is_of_images(wells: Wells) -> bool:
    """Whether the features come from images that were read here."""
    return "normalise" in wells.image_fingerprint


def is_untrained(wells: Wells) -> bool:
    """Whether the backbone itself has random weights."""
    return wells.image_fingerprint.get("model", "").startswith("untrained ")
