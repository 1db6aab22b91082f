"""``morphoclip explore``: a page about a packed model and its plates, on this machine."""

import logging
import threading

import click

from morphoclip.errors import InputError
from morphoclip.terminal.search import default_bundle


@click.command()
@click.argument("place", required=False)
@click.option("--port", type=click.IntRange(0, 65535), default=4242, show_default=True)
@click.option(
    "--host",
    default="127.0.0.1",
    show_default=True,
    help="Address to listen at. Any other than loopback shows the data to the network.",
)
@click.option(
    "--allow",
    "allowed",
    multiple=True,
    help="A further name that browsers may call this machine by; needed with --host.",
)
@click.option("--set", "feature_set", help="Feature set whose pictures are shown.")
def explore(
    place: str | None, port: int, host: str, allowed: tuple[str, ...], feature_set: str | None
) -> None:
    """Look at PLACE, a bundle or a data folder that holds one: search, plates, wells, a map.

    \b
    morphoclip explore data
    morphoclip explore /data/bundle --port 8000
    """  # noqa: D301 - \b is click's mark for lines that stay
    logging.basicConfig(level=logging.WARNING, format="%(message)s")
    try:
        serve(place or default_bundle(), host, port, allowed, feature_set)
    except InputError as error:
        raise click.ClickException(str(error)) from error


def serve(
    place: str, host: str, port: int, allowed: tuple[str, ...] = (), feature_set: str | None = None
) -> None:
    """Serve the page until it is interrupted.

    Raises:
        InputError: There is no bundle.
    """
    import uvicorn

    from morphoclip.explore.app import LOOPBACK, create_app
    from morphoclip.explore.data import explore_data

    data = explore_data(place, feature_set=feature_set)
    app = create_app(data, allowed_hosts=(*LOOPBACK, *allowed))
    click.echo(f"http://{host}:{port}  (Ctrl-C ends it)")
    if host not in LOOPBACK:
        click.echo("the page is open to the network: anyone who reaches this machine can read it")
    threading.Thread(target=data.prepare, daemon=True).start()
    uvicorn.run(app, host=host, port=port, log_level="warning", server_header=False)
