"""What is logged to MLflow."""

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from typing import Any

import pandas as pd
from filelock import FileLock
from kedro.framework.context import KedroContext
from kedro.framework.hooks import hook_impl
from kedro.framework.project import settings
from kedro.io import AbstractVersionedDataset, DataCatalog
from kedro.pipeline import Pipeline
from pydantic import BaseModel

from morphoclip.errors import InputError
from morphoclip.files import is_alive, shown_path, this_host
from morphoclip.gallery.source import redact_path

_SQLITE = "sqlite:///"
_OTHER_STORES = (_SQLITE, "postgresql", "mysql", "mssql", "file:", "databricks")
_SECONDS_TO_ANSWER = 5
_HOST, _PID = "host", "pid"


class PrepareTracking:
    """Create MLflow's sqlite file whole: two first runs at once would break a half-made one."""

    @hook_impl(tryfirst=True)
    def after_context_created(self, context: KedroContext) -> None:
        """Make the database under a lock, at another name, and rename it.

        Raises:
            InputError: The database or the server cannot be used.
        """
        if "kedro_mlflow" in settings.DISABLE_HOOKS_FOR_PLUGINS:
            return
        uri = str(context.config_loader["mlflow"]["server"]["mlflow_tracking_uri"])
        if uri.startswith(("http://", "https://")):
            _require_server(uri)
        elif "://" in uri and not uri.startswith(_OTHER_STORES):
            raise InputError(
                f"MLFLOW_TRACKING_URI is {redact_path(uri)}, which MLflow does not know: it takes "
                "http://, https://, sqlite:///, postgresql://, mysql:// and folders"
            )
        if not uri.startswith(_SQLITE):
            return
        database = Path(uri.removeprefix(_SQLITE).partition("?")[0])
        if database.exists():
            _require_database(database)
            return
        database.parent.mkdir(parents=True, exist_ok=True)
        with FileLock(database.with_suffix(".lock")):
            if not database.exists():
                import mlflow

                partial = database.with_suffix(".partial")
                partial.unlink(missing_ok=True)
                mlflow.MlflowClient(f"{_SQLITE}{partial}").search_experiments()
                partial.rename(database)


def _require_server(uri: str) -> None:
    """Ask once, for a few seconds: MLflow itself asks for minutes.

    Raises:
        InputError: Nothing answers.
    """
    import requests  # of mlflow

    try:
        requests.get(f"{uri.rstrip('/')}/health", timeout=_SECONDS_TO_ANSWER)
    except requests.RequestException as error:
        raise InputError(
            f"MLflow's server {redact_path(uri)} does not answer ({type(error).__name__}): start "
            "it, or set MLFLOW_TRACKING_URI to another (unset, runs go to mlflow.db here)"
        ) from error


def _require_database(path: Path) -> None:
    """Read all pages of MLflow's sqlite file, and begin to write.

    Raises:
        InputError: It is damaged, cannot be written, or another program holds it.
    """
    try:
        with closing(sqlite3.connect(path, timeout=_SECONDS_TO_ANSWER)) as connection:
            (found,) = connection.execute("PRAGMA quick_check(1)").fetchone()
            connection.execute("BEGIN IMMEDIATE")
            connection.rollback()
    except sqlite3.Error as error:
        found = str(error)
    if found != "ok":
        raise InputError(
            f"MLflow's database {shown_path(path)} cannot be used ({found}): make it writable, end "
            "the program that holds it, or move it away (a new one is made, without the runs of "
            "before)"
        )


class LogTypedParameters:
    """Log parameter models field by field; kedro-mlflow flattens dictionaries only."""

    @hook_impl(trylast=True)
    def before_pipeline_run(
        self, run_params: dict[str, Any], pipeline: Pipeline, catalog: DataCatalog
    ) -> None:
        """Log the fields of every typed ``params:`` input, and the commit that runs."""
        mlflow = _mlflow_of_run()
        if mlflow is None:
            return
        for name in sorted(name for name in pipeline.inputs() if name.startswith("params:")):
            value = catalog.load(name)
            if isinstance(value, BaseModel):
                dumped = value.model_dump(mode="json")
                mlflow.log_params(dict(_flatten(name.removeprefix("params:"), dumped)))
        _end_runs_of_the_dead(mlflow)
        mlflow.set_tags({_HOST: this_host(), _PID: os.getpid()})
        commit = _git("rev-parse", "HEAD")
        if commit:
            dirty = "yes" if _git("status", "--porcelain") else "no"
            mlflow.set_tags({"git_commit": commit, "git_dirty": dirty})
        # MLflow's and kedro-mlflow's own tags hold paths of this machine
        mlflow.set_tag("mlflow.source.name", Path(sys.argv[0]).name)
        given = ",".join(f"{k}={v}" for k, v in _flatten("", run_params["runtime_params"] or {}))
        project = Path(run_params["project_path"]).name
        mlflow.set_tags({"project_path": project, "runtime_params": given})


class LogArtifacts:
    """Log what catalog entries with ``metadata: {mlflow: ...}`` hold, as it is saved.

    ``artifact_path`` logs the file there; ``metrics: true`` logs the rows of a tidy table;
    ``tags: prefix`` logs a dictionary as tags; ``checkpoints: true`` marks the store of
    checkpoints. The best checkpoint goes in at the end, of a failed run too.
    """

    def __init__(self) -> None:
        self._catalog: DataCatalog | None = None
        self._stores: list[Any] = []

    @hook_impl
    def after_catalog_created(self, catalog: DataCatalog) -> None:
        """Remember the catalog: hooks about datasets get names only."""
        self._catalog = catalog
        self._stores = []

    @hook_impl
    def after_dataset_loaded(self, dataset_name: str, data: Any) -> None:
        """Remember the store that the trainer writes to."""
        if "checkpoints" in self._options(dataset_name):
            self._stores.append(data)

    @hook_impl
    def after_dataset_saved(self, dataset_name: str, data: Any) -> None:
        """Log one entry."""
        mlflow = _mlflow_of_run()
        if self._catalog is None or mlflow is None:
            return
        dataset: Any = self._catalog.get(dataset_name)
        options = self._options(dataset_name)
        if "artifact_path" in options:
            path = (
                dataset._get_load_path()
                if isinstance(dataset, AbstractVersionedDataset)
                else dataset._filepath
            )
            mlflow.log_artifact(str(path), options["artifact_path"])
        if options.get("metrics"):
            mlflow.log_metrics(dict(_tidy_metrics(data)))
        if "tags" in options:
            prefix = options["tags"]
            mlflow.set_tags({f"{prefix}.{key}": str(value) for key, value in data.items()})
        for key, fingerprint in _fingerprints(data):
            mlflow.set_tags({f"{key}.{name}": value for name, value in fingerprint.items()})

    @hook_impl(tryfirst=True)
    def after_pipeline_run(self) -> None:
        """Log the best checkpoint."""
        self._log_best_checkpoints()

    @hook_impl(tryfirst=True)
    def on_pipeline_error(self) -> None:
        """Log the best checkpoint that a failed run reached."""
        self._log_best_checkpoints()

    def _options(self, dataset_name: str) -> dict[str, Any]:
        """What the catalog says of an entry under ``metadata: {mlflow: ...}``."""
        dataset = self._catalog.get(dataset_name) if self._catalog is not None else None
        options: dict[str, Any] = (getattr(dataset, "metadata", None) or {}).get("mlflow", {})
        return options

    def _log_best_checkpoints(self) -> None:
        mlflow = _mlflow_of_run()
        if mlflow is None:
            return
        for run in (run for store in self._stores for run in store.opened):
            if run.best_path.exists():
                mlflow.log_artifact(str(run.best_path), f"checkpoints/{run.folder.name}")


def _end_runs_of_the_dead(mlflow: Any) -> None:
    """Mark runs of this experiment whose process on this machine was killed: they say RUNNING."""
    client = mlflow.MlflowClient()
    own = mlflow.active_run().info
    for run in client.search_runs([own.experiment_id], "attributes.status = 'RUNNING'"):
        tags = run.data.tags
        pid = tags.get(_PID, "")
        is_another = run.info.run_id != own.run_id and tags.get(_HOST) == this_host()
        if is_another and pid.isdecimal() and not is_alive(int(pid)):
            client.set_terminated(run.info.run_id, status="KILLED")


def _mlflow_of_run() -> Any:
    """The module mlflow where a run of it is active, else None; it is not imported for that."""
    mlflow = sys.modules.get("mlflow")
    return mlflow if mlflow is not None and mlflow.active_run() is not None else None


def _flatten(prefix: str, value: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(value, dict):
        for key, item in value.items():
            yield from _flatten(f"{prefix}.{key}" if prefix else key, item)
    else:
        yield prefix, redact_path(value) if isinstance(value, str) else value


def _tidy_metrics(table: pd.DataFrame) -> Iterator[tuple[str, float]]:
    """``test.within_modality.perturbation.image_to_text.recall_at_1`` and its chance."""
    keys = ["subset", "scope", "level", "direction", "metric"]
    for row in table.to_dict("records"):
        name = ".".join(str(row[key]) for key in keys).replace("@", "_at_")
        yield name, row["value"]
        yield f"{name}.chance", row["chance"]


def _fingerprints(data: Any) -> Iterator[tuple[str, dict[str, str]]]:
    for side in ("image", "text"):
        fingerprint = getattr(data, f"{side}_fingerprint", None)
        if fingerprint:
            yield f"{side}_features", fingerprint


def _git(*arguments: str) -> str:
    """What git says, or "" where there is no git or no repository."""
    try:
        done = subprocess.run(
            ["git", *arguments],
            capture_output=True,
            text=True,
            check=True,
            cwd=Path(__file__).parent,
        )
    except (OSError, subprocess.CalledProcessError):
        return ""
    return done.stdout.strip()
