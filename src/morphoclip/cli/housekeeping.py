"""Where the newest report is, and old versions that could go."""

import itertools
import os
import re
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.utils import find_kedro_project

from morphoclip.cli.explain import explain
from morphoclip.datasets.unfinished import UNFINISHED, UnfinishedVersions
from morphoclip.files import PARTIAL, is_leftover, remove_leftovers, shown_path

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
    except Exception as error:
        sentence = explain(error)
        if sentence is None:
            raise
        raise click.ClickException(sentence) from error
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

    Also what killed runs left half written: versions of which some entries are there and others are
    not, and files that never got their names. The newest ones stay. Works on data/ (or
    MORPHOCLIP_DATA), in all environments. Features and MLflow's runs are left alone. A
    cross-validation has as many trainings as folds and seeds.
    """
    root = Path(os.environ.get("MORPHOCLIP_DATA", "data"))
    notes = dict(notes_of_killed_runs(root))
    unfinished = [folder for folders in notes.values() for folder in folders]
    partials = [path for path in root.rglob(f".*{PARTIAL}") if is_leftover(path)]
    versions = [path for path in old_versions(root, keep=keep) if path not in unfinished]
    trainings = list(old_trainings(root, keep=keep))
    old = versions + trainings + unfinished + partials
    size = sum(
        file.stat().st_size
        for path in old
        for file in (path.rglob("*") if path.is_dir() else [path])
    )
    if yes:
        remove_leftovers(partials)
        for folder in versions + trainings + unfinished:
            shutil.rmtree(folder, ignore_errors=True)
        for note in notes:
            note.unlink()
    done = "deleted" if yes else "would be deleted with --yes"
    click.echo(
        f"{len(versions)} old version(s), the checkpoints of {len(trainings)} old training(s), "
        f"{len(unfinished)} version(s) and {len(partials)} file(s) that killed runs left half "
        f"written, {size / 1e6:.1f} MB, {done}; {keep} of each that is whole stay"
    )
    for folder in unfinished:
        click.echo(f"  half written: {shown_path(folder)}")


def notes_of_killed_runs(root: Path) -> Iterator[tuple[Path, list[Path]]]:
    """Notes of versions that no living run writes, each with the folders that are there."""
    for notes in root.rglob(UNFINISHED):
        for note, version in UnfinishedVersions(notes.parent).all().items():
            if version.owner.is_gone:
                yield note, list(version.folders(notes.parent))


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
