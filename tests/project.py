"""Runs the project's pipelines in a folder of their own."""

from pathlib import Path
from typing import Any

import mlflow
import pytest
from kedro.framework.context import KedroContext
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project

PROJECT = Path(__file__).parents[1]


class Workspace:
    """The project, with data and MLflow's database below ``folder``."""

    def __init__(self, folder: Path, env: str = "test") -> None:
        self.folder, self.env = folder, env
        self.tracking_uri = f"sqlite:///{folder / 'mlflow.db'}"
        self.data = folder / "data" / env

    def run(self, *pipelines: str, **params: Any) -> None:
        """``kedro run --pipelines ... --params ...``; later calls see what earlier ones wrote."""
        with self._environment(), self._session(params) as session:
            session.run(pipeline_names=list(pipelines) or None)

    def context(self) -> KedroContext:
        with self._environment(), self._session({}) as session:
            return session.load_context()

    def load(self, name: str) -> Any:
        return self.context().catalog.load(name)

    def mlflow(self) -> mlflow.MlflowClient:
        return mlflow.MlflowClient(self.tracking_uri)

    def _session(self, params: dict[str, Any]) -> KedroSession:
        bootstrap_project(PROJECT)
        return KedroSession.create(project_path=PROJECT, env=self.env, runtime_params=params)

    def _environment(self) -> Any:
        patch = pytest.MonkeyPatch()
        patch.setenv("MORPHOCLIP_DATA", str(self.folder / "data"))
        patch.setenv("MLFLOW_TRACKING_URI", self.tracking_uri)
        return _undo_after(patch)


class _undo_after:
    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self._patch = patch

    def __enter__(self) -> None:
        return None

    def __exit__(self, *_: object) -> None:
        self._patch.undo()
