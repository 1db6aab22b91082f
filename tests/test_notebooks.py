"""The notebooks run from top to bottom on finished synthetic plates."""

import os
from pathlib import Path

import nbformat
import pytest
from nbclient import NotebookClient
from project import PROJECT, Workspace

NOTEBOOKS = sorted((PROJECT / "notebooks").glob("*.ipynb"))


@pytest.fixture(scope="module")
def finished(tmp_path_factory) -> Workspace:
    workspace = Workspace(tmp_path_factory.mktemp("notebooks"))
    workspace.run("demo_gallery")
    workspace.run()
    workspace.run("pack_model")
    return workspace


@pytest.mark.slow
@pytest.mark.parametrize("path", NOTEBOOKS, ids=lambda path: path.stem)
def test_a_notebook_runs_and_shows_figures(finished, path: Path, monkeypatch) -> None:
    monkeypatch.setenv("KEDRO_ENV", "test")
    monkeypatch.setenv("MORPHOCLIP_DATA", str(finished.folder / "data"))
    monkeypatch.setenv("MLFLOW_TRACKING_URI", finished.tracking_uri)
    notebook = nbformat.read(path, as_version=4)
    assert not any(cell.get("outputs") for cell in notebook.cells), "outputs are not kept in git"
    environment = {"metadata": {"path": str(PROJECT / "notebooks")}}
    client = NotebookClient(notebook, timeout=300, resources=environment)
    client.execute(env=dict(os.environ))
    shown = [output for cell in notebook.cells for output in cell.get("outputs", [])]
    assert any("image/png" in output.get("data", {}) for output in shown)
    assert any("text/html" in output.get("data", {}) for output in shown)


def test_there_are_notebooks() -> None:
    assert [path.stem for path in NOTEBOOKS] == [
        "ask_a_model",
        "explore_a_plate",
        "look_at_embeddings",
    ]
