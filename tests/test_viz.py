"""The page that kedro viz builds, in a browser."""

import http.server
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest
from project import PROJECT

pytestmark = pytest.mark.slow

PIPELINES = ("ingestion", "image_features", "text_features", "splitting", "training", "evaluation")
FLAGS = (
    "--headless", "--no-sandbox", "--disable-gpu", "--disable-quic", "--no-first-run",
    "--disable-background-networking", "--disable-component-update", "--disable-sync",
    "--virtual-time-budget=15000", "--dump-dom",
)  # fmt: skip


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Iterator[str]:
    """The address of the built page."""
    project = tmp_path_factory.mktemp("viz") / "project"
    ignored = shutil.ignore_patterns(
        ".git", ".venv", "data", ".mypy_cache", ".hypothesis", "mlruns", "mlflow.db*", "mlartifacts"
    )
    shutil.copytree(PROJECT, project, ignore=ignored)
    environment = os.environ | {"KEDRO_ENV": "test", "KEDRO_DISABLE_TELEMETRY": "true"}
    command = [sys.executable, "-m", "kedro", "viz", "build", "--include-previews"]
    built = subprocess.run(command, cwd=project, env=environment, capture_output=True, text=True)
    assert built.returncode == 0, built.stdout + built.stderr
    handler = partial(http.server.SimpleHTTPRequestHandler, directory=str(project / "build"))
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/"
    server.shutdown()
    server.server_close()


def test_a_stranger_finds_the_six_pipelines(page: str, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("Chromium is not installed: apt install chromium")
    shown = subprocess.run(
        [browser, *FLAGS, f"--user-data-dir={tmp_path}", page],
        capture_output=True, text=True, timeout=120,
    ).stdout  # fmt: skip
    nodes = {
        "ingestion": "index_sites",
        "image_features": "extract_site_features",
        "text_features": "encode_texts",
        "splitting": "split_wells",
        "training": "train_model",
        "evaluation": "write_report",
    }
    assert set(nodes) == set(PIPELINES)
    for node in nodes.values():
        assert node in shown or node.replace("_", " ").capitalize() in shown, node
