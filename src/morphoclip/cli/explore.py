"""``kedro explore``: the page about the newest packed model of an environment."""

from pathlib import Path
from typing import Any

import click
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.utils import find_kedro_project

from morphoclip.cli.explain import explain
from morphoclip.terminal.explore import serve


@click.command("explore")
@click.option("--env", "-e", default=None, help="Kedro environment; .env or base otherwise.")
@click.option("--port", type=click.IntRange(0, 65535), default=4242, show_default=True)
@click.option("--set", "feature_set", help="Feature set whose pictures are shown.")
def explore(env: str | None, port: int, feature_set: str | None) -> None:
    """Look at the newest packed model: search, plates, wells, a map. On this machine alone."""
    project = find_kedro_project(Path.cwd()) or Path.cwd()
    bootstrap_project(project)
    try:
        session: Any = KedroSession.create(project_path=project, env=env)
        data = session.load_context().config_loader["globals"]["data"]
        serve(str(project / data), "127.0.0.1", port, feature_set=feature_set)
    except Exception as error:
        sentence = explain(error)
        if sentence is None:
            raise
        raise click.ClickException(sentence) from error
