"""What the folds of `cross_validation` and `zero_shot` read in common."""

from collections.abc import Mapping
from dataclasses import dataclass, field

import pandas as pd

from morphoclip.evaluation.config import EvaluationConfig
from morphoclip.evaluation.humble_inputs import other_inputs
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.features.text_features import TextFeatures
from morphoclip.loaders import Loaders
from morphoclip.models.config import ModelConfig
from morphoclip.wells.assemble import Wells, assemble_wells


@dataclass(frozen=True)
class FoldData:
    """Wells with features, and the metadata that splits need.

    ``others`` are tables of wells that are not the model's input.
    """

    wells: Wells
    well_index: pd.DataFrame
    perturbations: pd.DataFrame
    prompts: pd.DataFrame
    others: Mapping[str, pd.DataFrame] = field(default_factory=dict)


def assemble_fold_data(  # noqa: PLR0913 - a node: one argument per catalog entry
    plate_features: Loaders[PlateFeatures],
    text_features: TextFeatures,
    prompts: pd.DataFrame,
    well_index: pd.DataFrame,
    perturbations: pd.DataFrame,
    model: ModelConfig,
    feature_sets: Loaders[PlateFeatures],
    well_quality: pd.DataFrame | None,
    evaluation: EvaluationConfig,
) -> FoldData:
    """Wells with their features and prompts, and what baselines see besides.

    Raises:
        InputError: Features or prompts are missing, or do not fit each other.
    """
    wells = assemble_wells(
        plate_features, well_index, prompts, text_features, model.token_normalisation
    )
    others = other_inputs(
        well_quality,
        feature_sets,
        evaluation.untrained_features,
        wells,
        prompts,
        text_features,
        model.token_normalisation,
    )
    return FoldData(wells, well_index, perturbations, prompts, others)
