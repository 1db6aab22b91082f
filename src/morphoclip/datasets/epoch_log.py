"""The log of epochs: the console, and MLflow's run if there is one."""

import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NoReturn

import mlflow
from kedro.io import AbstractDataset, DatasetError
from mlflow.utils.mlflow_tags import MLFLOW_PARENT_RUN_ID, MLFLOW_RUN_NAME

logger = logging.getLogger(__name__)

_VALIDATED = (
    ", validation loss %(validation_loss).3f, validation MRR %(validation_mrr_within_modality).3f"
)


@dataclass(frozen=True)
class EpochLog:
    """Logs an epoch's metrics; pickles, so that worker processes can hold it."""

    tracking_uri: str | None
    run_id: str | None
    is_shown: bool = True

    def __call__(self, epoch: int, metrics: Mapping[str, float]) -> None:
        """Write one epoch, counted from 1."""
        if self.is_shown:
            validated = "" if math.isnan(metrics["validation_loss"]) else _VALIDATED % metrics
            logger.info("epoch %3d: loss %.3f%s", epoch, metrics["train_loss"], validated)
        if self.run_id is None:
            return
        client = mlflow.MlflowClient(self.tracking_uri)
        for name, value in metrics.items():
            if not math.isnan(value):  # what is not measured, as without validation wells
                client.log_metric(self.run_id, f"training.{name}", value, step=epoch)

    @contextmanager
    def nested(self, name: str) -> Iterator["EpochLog"]:
        """A nested run, which ends as failed where its block does; its epochs are not shown."""
        if self.run_id is None:
            yield EpochLog(None, None, is_shown=False)
            return
        client = mlflow.MlflowClient(self.tracking_uri)
        parent = client.get_run(self.run_id)
        tags = {MLFLOW_PARENT_RUN_ID: self.run_id, MLFLOW_RUN_NAME: name}
        run = client.create_run(parent.info.experiment_id, tags=tags, run_name=name)
        status = "FAILED"
        try:
            yield EpochLog(self.tracking_uri, run.info.run_id, is_shown=False)
            status = "FINISHED"
        finally:
            client.set_terminated(run.info.run_id, status)

    def summarise(self, metrics: Mapping[str, float]) -> None:
        """Write what came out of the run."""
        if self.run_id is None:
            return
        client = mlflow.MlflowClient(self.tracking_uri)
        for name, value in metrics.items():
            client.log_metric(self.run_id, name, value)


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
        raise DatasetError("epochs are logged by calling what this entry loads; it cannot be saved")

    def _exists(self) -> bool:
        return True

    def _describe(self) -> dict[str, Any]:
        return {}
