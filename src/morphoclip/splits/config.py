"""``params:splitting``: which strategy divides the wells, and its knobs."""

from enum import StrEnum
from typing import Literal, Self

from pydantic import Field, model_validator

from morphoclip.config import Config, Names
from morphoclip.schemas import Role

GroupBy = Literal["broad_sample", "entity", "gene", "well_position"]


class Strategy(StrEnum):
    """What a split holds out; each value names a function of `morphoclip.splits.strategies`."""

    PERT_TYPE = "pert_type"
    REPRESENTATION = "cpjump1_official_representation"
    GENE_COMPOUND = "cpjump1_official_gene_compound"
    CELLCLIP = "cellclip_cpjump_style"
    PLATE_HELD_OUT = "plate_held_out"


GROUPED = {
    Strategy.PERT_TYPE: {"broad_sample", "entity", "gene"},
    Strategy.CELLCLIP: {"broad_sample", "entity", "well_position"},
}
"""Strategies that divide groups, and by what; the others divide plates, conditions or genes."""

_IGNORED = {
    Strategy.PERT_TYPE: ("val_from", "plate_mode", "standard_plates"),
    Strategy.REPRESENTATION: (
        "group_by", "assignment", "val_fraction", "test_fraction", "seed", "val_from", "plate_mode"
    ),
    Strategy.GENE_COMPOUND: (
        "group_by", "assignment", "val_fraction", "test_fraction", "seed", "val_from", "plate_mode"
    ),
    Strategy.CELLCLIP: ("assignment", "test_fraction", "plate_mode"),
    Strategy.PLATE_HELD_OUT: (
        "group_by", "assignment", "val_fraction", "test_fraction", "val_from"
    ),
}  # fmt: skip


class SplitConfig(Config):
    """``params:splitting``."""

    strategy: Strategy = Strategy.PERT_TYPE
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
    exclude_controls: bool = Field(True, description="Leave negative controls and empty wells out.")
    exclude_roles: Names = Field((), description="Roles to leave out besides.")
    folds: int | None = Field(None, ge=3, description="Parts; part `fold` is the test subset.")
    fold: int | None = Field(None, ge=0)

    @property
    def ignored_settings(self) -> list[str]:
        """Keys that somebody set and that change nothing under this strategy."""
        fields = type(self).model_fields
        return [
            f"splitting.{key}"
            for key in _IGNORED[self.strategy]
            if getattr(self, key) != fields[key].default
        ]

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self) -> Self:
        if self.val_fraction + self.test_fraction > 0.6:
            raise ValueError("val_fraction + test_fraction leave under 40 % to train on")
        return self

    @model_validator(mode="after")
    def _the_strategy_has_such_groups(self) -> Self:
        known = GROUPED.get(self.strategy)
        if known is not None and self.group_by not in known:
            raise ValueError(f"{self.strategy} groups by {', '.join(sorted(known))}")
        return self

    @model_validator(mode="after")
    def _folds_go_together(self) -> Self:
        if self.folds is None:
            if self.fold is not None:
                raise ValueError("fold says which of splitting.folds is tested: give both")
            return self
        if self.fold is not None and self.fold >= self.folds:
            raise ValueError(f"fold counts from 0 to {self.folds - 1}")
        if self.assignment == "hash" or self.strategy is not Strategy.PERT_TYPE:
            raise ValueError("folds need strategy pert_type and assignment quota")
        return self

    @model_validator(mode="after")
    def _roles_are_known(self) -> Self:
        unknown = set(self.exclude_roles) - {str(role) for role in Role}
        if unknown:
            raise ValueError(f"exclude_roles names {sorted(unknown)}; known are {list(Role)}")
        return self
