"""``params:splitting``: which strategy divides the wells, and its knobs."""

from typing import Literal, Self

from pydantic import Field, field_validator, model_validator

from morphoclip.columns import Role
from morphoclip.config import Config, Names
from morphoclip.splits.strategies import STRATEGIES, SplitStrategy
from morphoclip.splits.strategies.base import KEPT_APART_BY_GROUP

GroupBy = Literal["broad_sample", "entity", "gene", "well_position"]


class SplitConfig(Config):
    """``params:splitting``."""

    strategy: str = "pert_type"
    group_by: GroupBy = "entity"
    assignment: Literal["quota", "hash"] = "quota"
    val_fraction: float = Field(0.1, gt=0, lt=0.5)
    test_fraction: float = Field(0.1, gt=0, lt=0.5)
    seed: int = Field(42, description="Mixed into the digest; changing it moves groups.")
    val_from: Literal["train", "none"] = Field(
        "train", description="Where a strategy without validation wells takes them from."
    )
    plate_mode: Literal["replicate", "condition"] = Field(
        "replicate", description="plate_held_out holds out plates of a condition, or conditions."
    )
    standard_plates: bool = Field(
        True, description="Leave out plates of other densities, antibiotics or cell lines."
    )
    exclude_controls: bool = Field(
        True, description="Leave negative controls out; empty wells always are."
    )
    exclude_roles: Names = Field((), description="Roles to leave out besides.")
    folds: int | None = Field(None, ge=3, description="Parts; part `fold` is the test subset.")
    fold: int | None = Field(None, ge=0)

    @property
    def chosen(self) -> SplitStrategy:
        """The strategy that `strategy` names."""
        return STRATEGIES[self.strategy]

    @property
    def kept_apart(self) -> frozenset[str]:
        """What no two subsets may share."""
        fixed = self.chosen.kept_apart
        return KEPT_APART_BY_GROUP[self.group_by] if fixed is None else fixed

    @property
    def ignored_settings(self) -> list[str]:
        """Keys that somebody set and that change nothing under this strategy."""
        fields = type(self).model_fields
        by_folds = ("val_fraction", "test_fraction") if self.folds is not None else ()
        return [
            f"splitting.{key}"
            for key in (*self.chosen.ignored, *by_folds)
            if getattr(self, key) != fields[key].default
        ]

    @field_validator("strategy")
    @classmethod
    def _strategy_exists(cls, strategy: str) -> str:
        if strategy not in STRATEGIES:
            raise ValueError(f"there is no strategy {strategy}; there are {', '.join(STRATEGIES)}")
        return strategy

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self) -> Self:
        if self.val_fraction + self.test_fraction > 0.6:
            raise ValueError("val_fraction + test_fraction leave under 40 % to train on")
        return self

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
            raise ValueError("folds need strategy pert_type and assignment quota")
        return self

    @model_validator(mode="after")
    def _roles_are_known(self) -> Self:
        unknown = set(self.exclude_roles) - {str(role) for role in Role}
        if unknown:
            raise ValueError(f"exclude_roles names {sorted(unknown)}; known are {list(Role)}")
        return self
