"""What a trained model has to beat besides its own inputs: the number of cells, and random weights.

On JUMP's plates the number of cells alone reaches half of CellProfiler's activity score, so a table
without that row flatters every model.
"""

import logging

import numpy as np
import pandas as pd

from morphoclip.columns import CHANNEL, PLATE, ROLE, SITE, WELL, Role
from morphoclip.evaluation.perturbation_sets import mean_features
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.features.text_features import TextFeatures
from morphoclip.loaders import Loaders
from morphoclip.metrics.matrix import Matrix
from morphoclip.plate_effects import TokenNormalisation
from morphoclip.wells.assemble import Wells, assemble_wells

logger = logging.getLogger(__name__)

CELL_COUNT, UNTRAINED_BACKBONE = "cell_count", "untrained_backbone"


def cell_counts(site_qc: pd.DataFrame | None, well_index: pd.DataFrame) -> pd.DataFrame | None:
    """Nuclei of each well by plate and well; None where nothing was counted.

    ``nuclei`` is the mean over the well's sites, ``log_ratio`` the natural log of it over the
    median of the plate's negative controls (of all its wells where there are none), one cell added
    to both.
    """
    if site_qc is None or "nuclei" not in site_qc or site_qc["nuclei"].isna().all():
        return None
    counted = site_qc.dropna(subset=["nuclei"]).drop_duplicates([PLATE, WELL, SITE, CHANNEL])
    nuclei = counted.groupby([PLATE, WELL])["nuclei"].mean()
    roles = well_index.set_index([PLATE, WELL])[ROLE].reindex(nuclei.index)
    plate = nuclei.index.get_level_values(PLATE)
    of_controls = nuclei[(roles == Role.NEGCON).to_numpy()].groupby(level=PLATE).median()
    usual = of_controls.reindex(plate).fillna(nuclei.groupby(level=PLATE).median().reindex(plate))
    ratio = np.log((nuclei.to_numpy() + 1) / (usual.to_numpy() + 1))
    return pd.DataFrame({"nuclei": nuclei, "log_ratio": ratio})


def on_a_quarter_circle(numbers: Matrix, rng: np.random.Generator) -> Matrix:
    """The order of numbers ``(B,)`` as unit vectors ``(B, 2)``, a quarter circle from end to end.

    What compares profiles by cosine then compares these by how many wells lie between two. Equal
    numbers, of which counts have many, fall in a random order: ties would count as matches.
    """
    order = np.lexsort((rng.random(len(numbers)), numbers))
    rank = np.empty(len(numbers))
    rank[order] = np.linspace(0, 1, len(numbers))
    return np.stack([np.cos(np.pi / 2 * rank), np.sin(np.pi / 2 * rank)], axis=1)


def other_inputs(
    site_qc: pd.DataFrame | None,
    feature_sets: Loaders[PlateFeatures],
    untrained: str | None,
    wells: Wells,
    prompts: pd.DataFrame,
    text_features: TextFeatures,
    normalisation: TokenNormalisation,
) -> dict[str, pd.DataFrame]:
    """Cell counts, and features of the untrained backbone, of these wells, where there are any.

    Args:
        site_qc: With the nuclei of each site.
        feature_sets: All of them, ``<name>/<barcode>``.
        untrained: Name of the untrained backbone's set.
        wells: The wells to describe.
        prompts: The prompt of each perturbation.
        text_features: Features of those prompts.
        normalisation: Of the untrained backbone's tokens, as of the model's.
    """
    others = {}
    counts = cell_counts(site_qc, wells.table)
    if counts is not None:
        others[CELL_COUNT] = counts[["log_ratio"]]
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
