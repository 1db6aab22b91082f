"""Where epochs are told while they happen: the log, and MLflow's run if there is one."""

import logging
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, NoReturn

import mlflow
from kedro.io import AbstractDataset, DatasetError

logger = logging.getLogger(__name__)


@dataclass(frozen=True)
class EpochLog:
    """Logs an epoch's metrics; pickles, so that worker processes can hold it."""

    tracking_uri: str | None
    run_id: str | None

    def __call__(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Write one epoch, counted from 1."""
        logger.info(
            "epoch %3d: loss %.3f, validation %.3f, MRR %.3f",
            epoch,
            metrics["train_loss"],
            metrics["validation_loss"],
            metrics["validation_mrr_within_modality"],
        )
        if self.run_id is None:
            return
        client = mlflow.MlflowClient(self.tracking_uri)
        for name, value in metrics.items():
            client.log_metric(self.run_id, f"training.{name}", value, step=epoch)


class EpochLogDataset(AbstractDataset[NoReturn, EpochLog]):
    """Loads an `EpochLog` bound to the active MLflow run."""

    def __init__(self, *, metadata: dict[str, Any] | None = None) -> None:
        self.metadata = metadata

    def load(self) -> EpochLog:
        run = mlflow.active_run()
        if run is None:
            return EpochLog(None, None)
        return EpochLog(mlflow.get_tracking_uri(), run.info.run_id)

    def save(self, data: NoReturn) -> None:  # noqa: ARG002 - Kedro's signature
        raise DatasetError("epochs are told through the loaded callable")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {}
