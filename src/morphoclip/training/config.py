"""The parameters of training."""

import math
from typing import Annotated, Literal, Self

from pydantic import BeforeValidator, Field

from morphoclip.config import Config, Seed, as_names
from morphoclip.losses import LossConfig
from morphoclip.plate_effects import CwaMode
from morphoclip.wells.featured import Placement
from morphoclip.wells.sampler import Sampler


class EarlyStoppingConfig(Config):
    """``training.early_stopping``."""

    metric: Literal["validation_loss", "validation_mrr_within_modality"] = "validation_loss"
    patience: int = Field(8, ge=1, le=1_000_000, description="Epochs without a better value.")


class RendezvousConfig(Config):
    """``training.rendezvous``: where hosts that train together meet."""

    address: str | None = Field(
        None,
        max_length=300,
        description="host:port of an interface of the leading host; the store listens there alone.",
    )
    trusted_network: bool = Field(
        False, description="Nobody else is on that network; what is sent there has no password."
    )
    patience: float = Field(600, gt=0, le=1_000_000, description="Seconds to wait for the hosts.")


class TrainingConfig(Config):
    """``params:training``."""

    loss: LossConfig = LossConfig()
    batch_size: int = Field(512, ge=2, le=1_000_000, description="Wells.")
    micro_batch: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Wells encoded at a time; gradients stay those of the batch.",
    )
    sites_per_well: int | None = Field(
        None, ge=1, le=1000, description="Sites drawn of each well in each epoch; none takes all."
    )
    learning_rate: float = Field(1e-4, gt=0, le=100)
    weight_decay: float = Field(0.2, ge=0, le=100)
    warmup_steps: int = Field(100, ge=0, le=10_000_000)
    epochs: int = Field(100, ge=1, le=1_000_000)
    grad_clip_norm: float = Field(1.0, gt=0, le=1_000_000_000)
    init_temperature: float = Field(0.07, gt=0, le=100)
    max_logit_scale: float = Field(math.log(100), gt=0, le=11, description="Natural log.")
    precision: Literal["auto", "fp32", "fp16", "bf16"] = Field(
        "auto", description="auto is fp16 on a GPU and fp32 on a CPU."
    )
    stopping: Literal["early", "inner_folds", "none"] = Field(
        "early",
        description="early: where the validation wells are best; inner_folds: after as many epochs "
        "as are best on average over folds of train and validation wells; none: after all epochs. "
        "The latter two train on the validation wells, too.",
    )
    early_stopping: EarlyStoppingConfig = EarlyStoppingConfig()
    inner_folds: int = Field(5, ge=2, le=1000, description="Of stopping inner_folds.")
    last_epoch: int | None = Field(
        None,
        ge=1,
        le=1_000_000,
        description="Stop after this epoch of the schedule that `epochs` sets.",
    )
    members: int = Field(
        1,
        ge=1,
        le=1000,
        description="Pairs of towers that differ in their seeds; similarities are means.",
    )
    cwa: CwaMode = "off"
    cwa_reference: Literal["train", "negcon"] = Field(
        "train", description="Wells that condition_offset measures plates by."
    )
    sampler: Sampler = "random"
    plates_per_block: int = Field(
        64, ge=1, le=1_000_000, description="Plates whose wells sampler plate_blocks mixes."
    )
    placement: Literal["auto", "device", "ram", "mmap"] = Field(
        "auto",
        description="Where features lie; auto is the device when they fill under half of it, else "
        "memory when they fill under half of that, else (mmap) their files.",
    )
    devices: int = Field(1, ge=1, le=64, description="Processes that train together; one per GPU.")
    nodes: int = Field(1, ge=1, le=1000, description="Hosts, each with so many devices.")
    rendezvous: RendezvousConfig = RendezvousConfig()
    device: str = Field("auto", description="auto takes a CUDA device where there is one.")
    cpu_threads: int | None = Field(
        None, ge=1, le=1024, description="torch's threads; none is its choice."
    )
    resume: bool = Field(False, description="Go on from the last checkpoint of this very run.")
    seed: Seed = 42
    seeds: Annotated[tuple[Seed, ...], BeforeValidator(as_names)] = Field(
        (), description="Several seeds, for pipeline cross_validation."
    )

    @property
    def each_seed(self) -> tuple[int, ...]:
        """`seeds`, or `seed` alone."""
        return self.seeds or (self.seed,)

    def of_seed(self, seed: int, **changes: object) -> Self:
        """These parameters with one seed, and with other changes."""
        return self.model_copy(update={"seed": seed, "seeds": (), **changes})

    @property
    def host_placement(self) -> Placement:
        """Where features lie before any are on a device."""
        return "ram" if self.placement == "device" else self.placement

    @property
    def wells_at_once(self) -> int:
        """Wells that are encoded at a time without gradients."""
        return min(self.micro_batch or self.batch_size, self.batch_size)
