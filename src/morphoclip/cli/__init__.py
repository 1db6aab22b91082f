"""Commands that Kedro finds here: ``run``, ``init-plates``, ``doctor`` and others."""

import click

from morphoclip.cli.doctor import doctor
from morphoclip.cli.explore import explore
from morphoclip.cli.housekeeping import prune, where
from morphoclip.cli.init_plates import init_plates
from morphoclip.cli.run import run


@click.group(name="morphoclip")
def cli() -> None:
    """MorphoCLIP's commands."""


cli.add_command(run, name="run")
cli.add_command(init_plates)
cli.add_command(doctor)
cli.add_command(explore)
cli.add_command(where)
cli.add_command(prune)

__all__ = ["cli", "run"]
