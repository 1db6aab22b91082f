"""Grids of parameters, and the cells that they are made of."""

import copy
import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

from pydantic import Field, ValidationError

from morphoclip.config import Config
from morphoclip.errors import InputError
from morphoclip.features.config import TextFeaturesConfig
from morphoclip.fingerprint import Fingerprint
from morphoclip.models.config import ModelConfig
from morphoclip.splits.config import SplitConfig
from morphoclip.splits.strategies import STRATEGIES
from morphoclip.training.config import TrainingConfig
from morphoclip.training.run_identity import WHERE_IT_RUNS

BASE = "base"
"""The cell that the others are compared with: the parameters as they are."""

_FEATURE_SET = "image_features.name"
_OF_THE_MACHINE = WHERE_IT_RUNS | {"micro_batch"}

Grid = dict[str, list[Any]]
"""A parameter, and the values that it takes in turn; the others stay as they are."""


class AblationConfig(Config):
    """``params:ablation``."""

    grid: str | None = Field(None, description="A name of `grids`; none lists them.")
    grids: dict[str, Grid]

    @property
    def chosen(self) -> Grid | None:
        """The grid to run; None where none is named.

        Raises:
            InputError: There is none of that name.
        """
        if self.grid is None:
            return None
        if self.grid not in self.grids:
            raise InputError(
                f"there is no ablation.grid {self.grid}; there are {', '.join(sorted(self.grids))}"
            )
        return self.grids[self.grid]


@dataclass(frozen=True)
class Settings:
    """All parameters that a cell may change."""

    model: ModelConfig
    training: TrainingConfig
    splitting: SplitConfig
    text_features: TextFeaturesConfig
    feature_set: str

    def changed(self, parameter: str, value: Any) -> Self:
        """The same with one parameter changed; a mapping is merged into what the parameter holds.

        The name of a group takes a mapping of its parameters, which change together.

        A strategy without folds is trained on its one split.

        Raises:
            InputError: There is no such parameter, or it cannot take that value.
        """
        if parameter == _FEATURE_SET:
            return replace(self, feature_set=str(value))
        group, _, path = parameter.partition(".")
        groups = ("model", "training", "splitting", "text_features")
        if group not in groups or not (path or isinstance(value, dict)):
            raise InputError(
                f"an ablation cannot change {parameter}: it changes parameters of "
                f"{', '.join(groups)}, and {_FEATURE_SET}"
            )
        config: Any = getattr(self, group)
        dumped = config.model_dump(mode="json")
        changes = [(path, value)] if path else list(value.items())
        for name, new in changes:
            _set(dumped, name.split("."), new, f"{group}.{name}")
        if group == "splitting":
            strategy = STRATEGIES.get(str(dumped["strategy"]))
            if strategy is not None and not strategy.has_folds:
                dumped |= {"folds": None, "fold": None}
        try:
            changed = type(config).model_validate(dumped)
        except ValidationError as error:
            first = error.errors()[0]
            raise InputError(f"ablation: {parameter} cannot be {value}: {first['msg']}") from error
        of_group: dict[str, Any] = {group: changed}
        return replace(self, **of_group)

    @property
    def record(self) -> dict[str, Any]:
        """What tells trainings apart, less what belongs to the machine."""
        return {
            "model": self.model.model_dump(mode="json"),
            "training": self.training.model_dump(mode="json", exclude=_OF_THE_MACHINE),
            "splitting": self.splitting.model_dump(mode="json"),
            "text_features": self.text_features.model_dump(mode="json", exclude={"device"}),
            "feature_set": self.feature_set,
        }


@dataclass(frozen=True)
class Cell:
    """One row of an ablation.

    Attributes:
        parameter: What it changes; `BASE` for the base cell.
        value: What to, as text.
        settings: All parameters.
    """

    parameter: str
    value: str
    settings: Settings

    @property
    def seeds(self) -> tuple[int, ...]:
        """A training for each of them, and for each fold."""
        return self.settings.training.each_seed

    @property
    def folds(self) -> int:
        """How often the split is turned."""
        return self.settings.splitting.folds or 1

    @property
    def n_trainings(self) -> int:
        """Folds times seeds."""
        return self.folds * len(self.seeds)

    @property
    def name(self) -> str:
        """For logs."""
        return self.parameter if self.parameter == BASE else f"{self.parameter} {self.value}"


def cells_of(grid: Grid, settings: Settings) -> list[Cell]:
    """The base cell, and one cell for each value that the base does not have.

    Raises:
        InputError: The grid names a parameter or value that does not exist.
    """
    cells = [Cell(BASE, "", settings)]
    for parameter, values in grid.items():
        for value in values:
            changed = settings.changed(parameter, value)
            if changed.record != settings.record:
                cells.append(Cell(parameter, as_text(value), changed))
    return cells


def as_text(value: Any) -> str:
    """A value as a row names it."""
    if isinstance(value, dict):
        return ", ".join(f"{key} {as_text(item)}" for key, item in value.items())
    return str(value).lower() if isinstance(value, bool) else str(value)


def training_key(cell: Cell, fold: int, seed: int, data: Mapping[str, str | Fingerprint]) -> str:
    """A name for one training of a cell, from everything that decides its result.

    Args:
        cell: Its parameters.
        fold: From 0.
        seed: Of the training.
        data: Digests and fingerprints of wells, texts and metadata.
    """
    what = copy.deepcopy(cell.settings.record) | {"data": dict(data), "fold": fold}
    what["training"]["seed"] = seed
    return hashlib.sha256(json.dumps(what, sort_keys=True).encode()).hexdigest()[:20]


def _set(values: dict[str, Any], path: list[str], value: Any, parameter: str) -> None:
    for key in path[:-1]:
        inner = values.get(key)
        if not isinstance(inner, dict):
            raise InputError(f"an ablation names {parameter}, which does not exist")
        values = inner
    last = path[-1]
    if last not in values:
        raise InputError(
            f"an ablation names {parameter}, which does not exist; beside it there are "
            f"{', '.join(sorted(values))}"
        )
    both_mappings = isinstance(value, dict) and isinstance(values[last], dict)
    values[last] = values[last] | value if both_mappings else value
