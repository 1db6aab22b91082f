"""Where the newest report is, and old versions that could go."""

import itertools
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from kedro.config import MissingConfigException
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.utils import find_kedro_project

from morphoclip.cli.explain import explain

_VERSION = re.compile(r"\d{4}-\d\d-\d\dT\d\d\.\d\d\.\d\d\.\d{3}Z")

_REPORTS = {"report": "The newest report", "plate_report": "Of plates alone"}
"""Catalog entries, and what they are called."""

_WHERE = """
{reports}
The pipelines:     kedro viz         then http://127.0.0.1:4141
The runs:          kedro mlflow ui   then http://127.0.0.1:5000, view "Model training"
Commands lie in .venv/bin. A line KEDRO_ENV=demo in .env makes plain commands work on
the demo; remove it to work on real data."""


@click.command("where")
@click.option("--env", "-e", default=None, help="Kedro environment; .env or base otherwise.")
def where(env: str | None) -> None:
    """Print the path of the newest report, and how to look at a run."""
    project = find_kedro_project(Path.cwd()) or Path.cwd()
    bootstrap_project(project)
    session: Any = KedroSession.create(project_path=project, env=env)
    try:
        catalog = session.load_context().catalog
        found = [(words, catalog[name]) for name, words in _REPORTS.items()]
    except MissingConfigException as error:
        raise click.ClickException(explain(error) or str(error)) from error
    reports = [
        f"{words + ':':<18} {os.path.relpath(Path(str(report._get_load_path())))}"
        for words, report in found
        if report.exists()
    ]
    if not reports:
        raise click.ClickException("there is no report yet: kedro run makes one")
    click.echo(_WHERE.format(reports="\n".join(reports)))


@click.command("prune")
@click.option("--keep", default=3, show_default=True, type=click.IntRange(1), help="Versions.")
@click.option("--yes", is_flag=True, help="Delete; without it, say what would be deleted.")
def prune(*, keep: int, yes: bool) -> None:
    """Delete old versions of models, tables, figures and reports, and checkpoints of old trainings.

    The newest ones stay. Works on data/ (or MORPHOCLIP_DATA), in all environments. Features and
    MLflow's runs are left alone. A cross-validation has as many trainings as folds and seeds.
    """
    root = Path(os.environ.get("MORPHOCLIP_DATA", "data"))
    versions, trainings = list(old_versions(root, keep=keep)), list(old_trainings(root, keep=keep))
    old = versions + trainings
    size = sum(file.stat().st_size for folder in old for file in folder.rglob("*"))
    for folder in old if yes else []:
        shutil.rmtree(folder)
    done = "deleted" if yes else "would be deleted with --yes"
    click.echo(
        f"{len(versions)} old version(s) and the checkpoints of {len(trainings)} old training(s), "
        f"{size / 1e6:.1f} MB, {done}; {keep} of each stay"
    )


def old_trainings(root: Path, *, keep: int) -> Iterator[Path]:
    """Folders of checkpoints of all but the newest ``keep`` trainings of each environment."""
    for folder in root.rglob("06_models/checkpoints"):
        runs = sorted(folder.rglob("run.json"), key=lambda path: path.stat().st_mtime)
        yield from (run.parent for run in runs[:-keep])


def old_versions(root: Path, *, keep: int) -> Iterator[Path]:
    """Folders of versions beyond the newest ``keep`` of each versioned file below ``root``."""
    versions = [path for path in root.rglob("*") if _VERSION.fullmatch(path.name)]
    for _, group in itertools.groupby(sorted(versions), key=lambda path: path.parent):
        yield from list(group)[:-keep]
