"""``params:splitting``: which strategy divides the wells, and its settings."""

from collections.abc import Iterator
from typing import Self

from pydantic import field_validator, model_validator

from morphoclip.splits.fields import SplitSettings
from morphoclip.splits.strategies import STRATEGIES, SplitStrategy
from morphoclip.splits.strategies.base import KEPT_APART_BY_GROUP


class SplitConfig(SplitSettings):
    """``params:splitting``."""

    @property
    def chosen(self) -> SplitStrategy:
        """The strategy that `strategy` names."""
        return STRATEGIES[self.strategy]

    @property
    def each_fold(self) -> Iterator[Self]:
        """The settings of each fold of each assignment; these themselves, without folds."""
        for seed in self.seeds or (self.seed,):
            assignment = self.model_copy(update={"seed": seed, "seeds": ()})
            for fold in range(self.folds or 1):
                yield assignment.of_fold(fold)

    def of_fold(self, fold: int) -> Self:
        """These settings with this fold tested; themselves, without folds."""
        return self.model_copy(update={"fold": fold}) if self.folds else self

    @property
    def kept_apart(self) -> frozenset[str]:
        """What no two subsets may share."""
        fixed = self.chosen.kept_apart
        kept = KEPT_APART_BY_GROUP[self.group_by] if fixed is None else fixed
        return kept | ({"mechanism of test"} if self.hold_out_mechanisms else set())

    @property
    def ignored_settings(self) -> list[str]:
        """Keys that somebody set and that change nothing under this strategy."""
        fields = type(self).model_fields
        return [
            f"splitting.{key}"
            for key in self.chosen.ignored
            if getattr(self, key) != fields[key].default
        ]

    @field_validator("strategy")
    @classmethod
    def _strategy_exists(cls, strategy: str) -> str:
        if strategy not in STRATEGIES:
            raise ValueError(f"there is no strategy {strategy}; there are {', '.join(STRATEGIES)}")
        return strategy

    @model_validator(mode="after")
    def _the_strategy_has_such_groups(self) -> Self:
        groups = self.chosen.groups
        if groups and self.group_by not in groups:
            raise ValueError(f"{self.strategy} groups by {', '.join(sorted(groups))}")
        return self

    @model_validator(mode="after")
    def _folds_go_together(self) -> Self:
        if self.folds is None:
            if self.fold is not None:
                raise ValueError("fold says which of splitting.folds is tested: give both")
            return self
        if self.fold is not None and self.fold >= self.folds:
            raise ValueError(f"fold counts from 0 to {self.folds - 1}")
        if self.assignment == "hash" or not self.chosen.has_folds:
            with_folds = [name for name, strategy in STRATEGIES.items() if strategy.has_folds]
            raise ValueError(f"folds need strategy {' or '.join(with_folds)} and assignment quota")
        return self
