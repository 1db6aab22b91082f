"""``morphoclip worker``: another host for a training that is led elsewhere."""

import logging
import os
import shutil
import signal
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import click

from morphoclip.errors import InputError
from morphoclip.files import partial_name, remove_leftovers


@click.command()
@click.option(
    "--rendezvous",
    metavar="HOST:PORT",
    required=True,
    help="Where the leading host waits: its training.rendezvous.address.",
)
@click.option(
    "--patience",
    type=click.FloatRange(1, 1_000_000),
    default=300,
    show_default=True,
    help="Seconds to wait for a training, at first and after each.",
)
@click.option(
    "--folder",
    type=click.Path(file_okay=False, path_type=Path),
    help="Where the features lie meanwhile; a new folder of the system's temporary one, deleted "
    "in the end.",
)
def worker(rendezvous: str, patience: float, folder: Path | None) -> None:
    """Train with the host that leads from HOST:PORT, as one of its training.nodes.

    \b
    on the leading host:
      kedro run --pipeline training --params \\
        training.nodes:2,training.rendezvous.address:10.0.0.5:29400,\\
        training.rendezvous.trusted_network:true
    on the other:
      morphoclip worker --rendezvous 10.0.0.5:29400

    Parameters, wells and features come from the leading host, which alone saves and logs: here no
    project and no data are needed, the same versions of morphoclip and torch are. One worker takes
    part in one training after another (members, folds, seeds), until none has come for a while.
    """  # noqa: D301 - \b is click's mark for lines that stay
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    os.environ.setdefault("TORCH_CPP_LOG_LEVEL", "ERROR")  # its stacks say less than our sentence
    from morphoclip.training.hosts.lead_and_follow import follow
    from morphoclip.training.trainer import train_rank

    signal.signal(signal.SIGTERM, lambda *_: sys.exit(128 + signal.SIGTERM))  # leave no features
    try:
        with _own_folder(folder or Path(tempfile.gettempdir())) as own:
            done = follow(train_rank, rendezvous, own, patience)
    except (InputError, OSError, RuntimeError) as error:
        raise click.ClickException(str(error)) from error
    if not done:
        raise click.ClickException(
            f"no training was led from {rendezvous} within {patience:g} s: start it there with "
            "training.nodes and training.rendezvous.address, and see that this host reaches it"
        )
    click.echo(f"{done} training(s) done, and none came for {patience:g} s")


@contextmanager
def _own_folder(within: Path) -> Iterator[Path]:
    """A folder that only this user can read; those of workers that were killed go with it."""
    own = partial_name(within / "morphoclip-worker")
    within.mkdir(parents=True, exist_ok=True)
    remove_leftovers(within.glob(f".{own.name.split('.')[1]}.*"))
    own.mkdir(mode=0o700)
    try:
        yield own
    finally:
        shutil.rmtree(own, ignore_errors=True)
