"""MorphoCLIP's commands, which Kedro finds here: ``kedro run``, ``where`` and ``prune``."""

import click

from morphoclip.cli.housekeeping import prune, where
from morphoclip.cli.run import run


@click.group(name="morphoclip")
def cli() -> None:
    """MorphoCLIP's commands."""


cli.add_command(run, name="run")
cli.add_command(where)
cli.add_command(prune)

__all__ = ["cli", "run"]
