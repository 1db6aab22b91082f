"""The page that kedro viz builds, in a browser."""

import http.server
import os
import re
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


def test_the_first_screen_is_a_table_of_contents(page: str, tmp_path: Path) -> None:
    browser = shutil.which("chromium") or shutil.which("chromium-browser")
    if browser is None:
        pytest.skip("Chromium is not installed: apt install chromium")
    shown = subprocess.run(
        [browser, *FLAGS, f"--user-data-dir={tmp_path}", page],
        capture_output=True, text=True, timeout=120,
    ).stdout  # fmt: skip
    boxes = re.findall(r"pipeline-node__text[^>]*>([^<]*)", shown)
    assert set(PIPELINES) <= set(boxes), "one box per stage"
    inside = {"index_sites", "train_model", "write_report", "well_profiles"}
    assert not inside & set(boxes), "what a stage keeps to itself shows when its box is opened"
    assert {"perturbations", "split_manifest", "model", "report"} <= set(boxes)
