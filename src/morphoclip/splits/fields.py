"""The fields of ``params:splitting``, which every split strategy reads."""

from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field, model_validator

from morphoclip.columns import Role
from morphoclip.config import Config, Names, Seed, as_names

GroupBy = Literal["broad_sample", "entity", "gene", "row", "well_position"]


class SplitSettings(Config):
    """The fields of ``params:splitting``; `SplitConfig` adds the checks of the chosen strategy."""

    strategy: str = "pert_type"
    group_by: GroupBy = "entity"
    assignment: Literal["quota", "hash"] = "quota"
    val_fraction: float = Field(0.1, gt=0, lt=0.5)
    test_fraction: float = Field(0.1, gt=0, lt=0.5)
    seed: Seed = Field(42, description="Mixed into the digest; changing it moves groups.")
    seeds: Annotated[tuple[Seed, ...], BeforeValidator(as_names)] = Field(
        (), description="Several, each with folds of its own, for pipeline cross_validation."
    )
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
    hold_out_mechanisms: bool = Field(
        False, description="Learn from nothing that shares a mechanism of action with a test well."
    )
    exclude_roles: Names = Field((), description="Roles to leave out besides.")
    folds: int | None = Field(
        None, ge=3, le=1000, description="Parts; part `fold` is the test subset."
    )
    fold: int | None = Field(None, ge=0, le=999)

    @model_validator(mode="after")
    def _something_is_left_to_train_on(self) -> Self:
        if self.val_fraction + self.test_fraction > 0.6:
            raise ValueError("val_fraction + test_fraction leave under 40 % to train on")
        return self

    @model_validator(mode="after")
    def _roles_are_known(self) -> Self:
        unknown = set(self.exclude_roles) - {str(role) for role in Role}
        if unknown:
            raise ValueError(f"exclude_roles names {sorted(unknown)}; known are {list(Role)}")
        return self
