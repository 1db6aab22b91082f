"""Everything that changes while training, as one payload."""

from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn
from torch.amp import GradScaler
from torch.optim import Optimizer
from torch.optim.lr_scheduler import LRScheduler

from morphoclip.backbone_identity import tensors_digest
from morphoclip.errors import InputError
from morphoclip.models.fine_tuned import FineTuned
from morphoclip.models.morphoclip import MorphoCLIP
from morphoclip.training.distributed import ALONE, World


@dataclass
class TrainingState:
    """One training run between two epochs."""

    model: MorphoCLIP | FineTuned
    optimizer: Optimizer
    scheduler: LRScheduler
    scaler: GradScaler
    plate_offsets: Tensor
    epoch: int = 0
    best_value: float = float("inf")
    best_epoch: int = 0
    history: list[dict[str, float]] = field(default_factory=list)

    def to_payload(self, world: World = ALONE) -> dict[str, Any]:
        """Tensors, numbers, text: what ``weights_only=True`` reads back.

        Random states are those of all ranks, ``(W, n)``: every rank has to call this.
        """
        device = next(self.model.parameters()).device
        return {
            "model": trained_weights(self.model),
            "optimizer": self.optimizer.state_dict(),
            "scheduler": self.scheduler.state_dict(),
            "scaler": self.scaler.state_dict(),
            "plate_offsets": self.plate_offsets,
            "rng": world.collect(torch.get_rng_state().to(device)).cpu(),
            "cuda_rng": world.collect(torch.cuda.get_rng_state(device).to(device)).cpu()
            if device.type == "cuda"
            else None,
            "epoch": self.epoch,
            "best_value": self.best_value,
            "best_epoch": self.best_epoch,
            "history": self.history,
        }

    def restore(self, payload: dict[str, Any], world: World = ALONE) -> None:
        """Go on from where `to_payload` was called; random states only by as many ranks.

        Raises:
            InputError: The payload is of another model, or no checkpoint.
        """
        try:
            self._restore(payload, world)
        except (KeyError, TypeError, ValueError, AttributeError, IndexError, RuntimeError) as error:
            raise InputError(
                "the checkpoint does not hold what this training writes "
                f"({type(error).__name__}: {str(error).splitlines()[0]}); delete its folder below "
                "06_models/checkpoints and train again"
            ) from error

    def _restore(self, payload: dict[str, Any], world: World) -> None:
        load_trained_weights(self.model, payload["model"])
        self.optimizer.load_state_dict(payload["optimizer"])
        self.scheduler.load_state_dict(payload["scheduler"])
        self.scaler.load_state_dict(payload["scaler"])
        self.plate_offsets = payload["plate_offsets"].to(self.plate_offsets.device)
        device = next(self.model.parameters()).device
        is_of_as_many = len(payload["rng"]) == world.size
        if is_of_as_many:
            torch.set_rng_state(payload["rng"][world.rank].clone())  # a view is misread
        if is_of_as_many and payload["cuda_rng"] is not None and device.type == "cuda":
            torch.cuda.set_rng_state(payload["cuda_rng"][world.rank].clone(), device)
        self.epoch = payload["epoch"]
        self.best_value = payload["best_value"]
        self.best_epoch = payload["best_epoch"]
        self.history = payload["history"]


def trained_weights(model: nn.Module) -> dict[str, Tensor]:
    """Weights and buffers of a model, less the frozen ones, which its backbone's files hold."""
    frozen = {name for name, weight in model.named_parameters() if not weight.requires_grad}
    return {name: value for name, value in model.state_dict().items() if name not in frozen}


def frozen_digest(model: nn.Module) -> str:
    """SHA-256 of the frozen weights: the same before and after a training."""
    return tensors_digest(
        (name, weight) for name, weight in model.named_parameters() if not weight.requires_grad
    )


def load_trained_weights(model: nn.Module, weights: dict[str, Tensor]) -> None:
    """The inverse of `trained_weights`.

    Raises:
        RuntimeError: They are of another model.
    """
    if set(weights) != set(trained_weights(model)):
        raise RuntimeError("these are the weights of another model")
    model.load_state_dict(weights, strict=False)
