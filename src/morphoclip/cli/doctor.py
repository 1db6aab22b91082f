"""``kedro doctor``: what this machine has and lacks for an environment."""

from pathlib import Path
from typing import Any

import click
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.utils import find_kedro_project
from rich.console import Console
from rich.table import Table

from morphoclip.cli.explain import explain
from morphoclip.cli.machine_check import findings
from morphoclip.errors import without_credentials


@click.command("doctor")
@click.option("--env", "-e", default=None, help="Kedro environment; .env or base otherwise.")
def doctor(env: str | None) -> None:
    """Say what this machine has and lacks: weights, token, source, disk, memory, GPU, versions.

    Ends with status 1 where something is lacking that a run would stop at.
    """
    project = find_kedro_project(Path.cwd())
    if project is None:
        raise click.ClickException("this is no folder of the project: change into the repository")
    bootstrap_project(project)
    try:
        session: Any = KedroSession.create(project_path=project, env=env)
        context = session.load_context()
        found = list(findings(context.config_loader, context.params, project))
    except Exception as error:
        sentence = explain(error)
        if sentence is None:
            raise
        raise click.ClickException(sentence) from error
    table = Table(box=None, pad_edge=False, show_header=False)
    for column in ("what", "state", "said"):
        table.add_column(column, overflow="fold", no_wrap=column != "said")
    styles = {"ok": "green", "note": "yellow", "lacks": "red"}
    for one in found:
        said = one.said + (f"\n[dim]{one.fix}[/dim]" if one.fix else "")
        table.add_row(one.what, f"[{styles[one.state]}]{one.state}[/]", without_credentials(said))
    Console().print(table)
    if any(one.state == "lacks" for one in found):
        raise click.exceptions.Exit(1)
