"""``params:evaluation``."""

from pydantic import Field

from morphoclip.config import Config, Seed
from morphoclip.metrics.bootstrap import Bootstrap
from morphoclip.metrics.chance import NullConfig


class EvaluationConfig(Config):
    """``params:evaluation``."""

    null_size: int = Field(
        100_000, ge=1, le=100_000_000, description="Draws of a permutation null."
    )
    bootstrap_draws: int = Field(2000, ge=100, le=1_000_000, description="Draws of an interval.")
    top_k: int = Field(5, ge=1, le=10_000, description="Results kept per question.")
    seed: Seed = 42
    untrained_features: str | None = Field(
        "untrained", description="Feature set of the backbone's untrained twin."
    )
    batch_size: int = Field(512, ge=1, le=1_000_000, description="Wells embedded at a time.")
    device: str = Field("auto", description="auto takes a CUDA device where there is one.")

    @property
    def bootstrap(self) -> Bootstrap:
        """Draws and seed of intervals."""
        return Bootstrap(self.bootstrap_draws, self.seed)

    @property
    def null(self) -> NullConfig:
        """Draws and seed of null distributions."""
        return NullConfig(self.null_size, self.seed)
