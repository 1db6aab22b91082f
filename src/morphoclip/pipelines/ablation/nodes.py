"""Ablation nodes: a grid of parameters in, a table and a figure of differences out."""

import logging
from collections.abc import Iterator
from typing import NamedTuple

import pandas as pd
from matplotlib.figure import Figure

from morphoclip.ablation.cells import BASE, AblationConfig, Cell, Settings, cells_of
from morphoclip.ablation.comparison import compare_cells, draw_ablation, expected_by_luck
from morphoclip.ablation.trainings import (
    AblationData,
    most_seconds,
    prepare,
    require_trainable,
    train_cells,
    why_no_split,
)
from morphoclip.errors import InputError
from morphoclip.evaluation.config import EvaluationConfig
from morphoclip.features.config import ImageFeaturesConfig, TextFeaturesConfig
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.features.text_features import TextFeatures
from morphoclip.loaders import Loaders
from morphoclip.models.config import ModelConfig
from morphoclip.perturbations.wording import PromptTemplates
from morphoclip.splits.config import SplitConfig
from morphoclip.training.checkpoints import CheckpointStore
from morphoclip.training.config import TrainingConfig
from morphoclip.training.run_log import RunLog

logger = logging.getLogger(__name__)


class Ablation(NamedTuple):
    """The cells of the chosen grid and what they read; no cells where no grid is chosen."""

    grid: str | None
    cells: list[Cell]
    data: AblationData


def plan_ablation(  # noqa: PLR0913 - one argument per catalog entry
    feature_sets: Loaders[PlateFeatures],
    well_index: pd.DataFrame,
    perturbations: pd.DataFrame,
    text_cache: Loaders[TextFeatures],
    templates: PromptTemplates,
    image_features: ImageFeaturesConfig,
    text_features: TextFeaturesConfig,
    splitting: SplitConfig,
    model: ModelConfig,
    training: TrainingConfig,
    config: AblationConfig,
) -> Ablation:
    """The cells of the grid; without a grid, log what grids there are and what they would cost.

    Raises:
        InputError: The grid names something that does not exist.
    """
    data = AblationData(feature_sets, well_index, perturbations, templates, text_cache)
    settings = Settings(model, training, splitting, text_features, image_features.name)
    if config.chosen is not None:
        cells = cells_of(config.chosen, settings)
        return Ablation(config.grid, _trainable(cells, data), data)
    lines = ["choose a grid, as in --params ablation.grid:spec; there are"]
    seconds = most_seconds(data, cells_of({}, settings)[0])
    for name, grid in config.grids.items():
        cells = cells_of(grid, settings)
        number = sum(cell.n_trainings for cell in cells)
        lines.append(
            f"  {name}: {len(cells)} cells, {number} trainings, "
            f"{max(number * seconds / 60, 1):.0f} min on this machine if all were like the base "
            "and none stopped early"
        )
        lines += [f"      {parameter}" for parameter in grid]
    lines.append("folds and seeds as in cross_validation: splitting.folds:10,training.seeds:1+2+3")
    logger.info("\n".join(lines))
    return Ablation(None, [], data)


def _trainable(cells: list[Cell], data: AblationData) -> list[Cell]:
    """The cells that can be trained; the others are named with the reason.

    Raises:
        InputError: The base cell cannot, or a cell does not fit the features.
    """
    kept = []
    for cell in cells:
        require_trainable(data, cell)
        reason = why_no_split(data, cell)
        if reason is None:
            kept.append(cell)
            continue
        if cell.settings.splitting.strategy == "plate_held_out":
            reason += " (plate_held_out needs three plates in a condition)"
        if cell.parameter == BASE:
            raise InputError(f"the base cell cannot be split: {reason}; change splitting")
        logger.warning("cell %s is left out, its split cannot be made: %s", cell.name, reason)
    return kept


def train_grid(
    ablation: Ablation,
    done: Loaders[pd.DataFrame],
    checkpoints: CheckpointStore,
    epoch_log: RunLog,
) -> Iterator[dict[str, pd.DataFrame]]:
    """Rows of each training of the grid, as soon as it is done; those of before are kept."""
    yield {}
    yield from train_cells(ablation.data, ablation.cells, done, checkpoints, epoch_log)


def compare_grid(
    ablation: Ablation, trainings: Loaders[pd.DataFrame], config: EvaluationConfig
) -> tuple[dict[str, pd.DataFrame], dict[str, Figure]]:
    """The grid's table and figure, by its name; nothing where no grid is chosen."""
    if ablation.grid is None:
        return {}, {}
    rows = []
    for cell in ablation.cells:
        prepared = prepare(ablation.data, cell)
        keys = [prepared.key(cell, fold, seed) for fold in range(cell.folds) for seed in cell.seeds]
        together = pd.concat([trainings[key]() for key in keys], ignore_index=True)
        rows.append((cell.parameter, cell.value, together))
    prompts = prepare(ablation.data, ablation.cells[0]).prompts
    metrics = compare_cells(rows, prompts, config.bootstrap)
    lines = [
        f"  {row.parameter + ' ' + row.value:<44} {row.mrr:.3f} (chance {row.chance:.3f})"
        + (
            f"  {row.difference:+.3f} [{row.difference_low:+.3f}, {row.difference_high:+.3f}]"
            if pd.notna(row.difference)
            else ""
        )
        for row in metrics.itertuples()
    ]
    logger.info(
        "grid %s, held-out MRR and difference from the base\n%s\n%s",
        ablation.grid, "\n".join(lines), expected_by_luck(metrics),
    )  # fmt: skip
    return {ablation.grid: metrics}, {ablation.grid: draw_ablation(metrics, ablation.grid)}
