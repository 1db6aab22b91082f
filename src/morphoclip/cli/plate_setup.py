"""Look at a folder of images, say what is there, write how it is read."""

import os
import re
import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Any, NamedTuple

import click
import pandas as pd
import yaml
from kedro.utils import find_kedro_project
from pydantic import TypeAdapter, ValidationError
from rich.console import Console
from rich.table import Table

from morphoclip.cli.explain import explain
from morphoclip.columns import PLATE, ROLE
from morphoclip.config import Channels, ColumnNames
from morphoclip.datasets.plate_images import PlateImagesDataset
from morphoclip.datasets.spreadsheet import SpreadsheetDataset
from morphoclip.errors import InputError, example_of
from morphoclip.files import written_whole
from morphoclip.gallery.proposal import Proposal, covered, propose, wells_to_fill_in
from morphoclip.imaging.config import NUCLEAR_STAINS
from morphoclip.perturbations.well_columns import likely_columns
from morphoclip.perturbations.wells_table import read_wells_table

_PLATES_SHOWN = 12

_GLOBALS = """\
# Written by kedro init-plates.
data: ${{oc.env:MORPHOCLIP_DATA,data}}/{name}   # keeps what is made of these plates apart
"""


class PlateSetup(NamedTuple):
    """Options of ``kedro init-plates``."""

    images: str
    wells: str | None
    names: str | None
    channels: str | None
    columns: str | None
    name: str | None
    env: str
    yes: bool
    replace: bool


def set_up_plates(given: PlateSetup) -> None:
    """Say what was found, and write the configuration or a table of wells to fill in.

    Raises:
        click.ClickException: Images or table cannot be used, or files are there already.
    """
    project = find_kedro_project(Path.cwd())
    if project is None:
        raise click.ClickException("this is no folder of the project: change into the repository")
    name = _short(given.name, given.images)
    try:
        _check(given)
        files = PlateImagesDataset(path=_absolute(given.images)).load()
        proposal = propose(files, given.names, _channels(given.channels))
        _show(proposal)
        if given.wells is None:
            _write_table_to_fill_in(proposal, Path(f"wells_{name}.csv"), given)
            return
        columns = _show_wells(proposal, given.wells, _columns(given.columns))
    except Exception as error:
        sentence = explain(error)
        if sentence is None:
            raise
        raise click.ClickException(sentence) from error
    _refuse_shared_data(project / "conf", given.env, name)
    source = {"images": _absolute(given.images), "wells": _absolute(given.wells)}
    texts = _configuration(proposal, source, columns, name)
    _write(project / "conf" / given.env, texts, yes=given.yes, replace=given.replace)
    _say_how_to_go_on(given.env)


def _refuse_shared_data(conf: Path, env: str, name: str) -> None:
    """Two environments with one data folder would take each other's features for their own."""
    own = _GLOBALS.format(name=name).splitlines()[1].partition("#")[0].strip()
    for file in sorted(conf.glob("*/globals.yml")):
        lines = (line.partition("#")[0].strip() for line in file.read_text("utf-8").splitlines())
        if file.parent.name != env and own in lines:
            raise click.ClickException(
                f"the environment {file.parent.name} keeps its data in {name}, too: give these "
                "plates a name of their own, --name"
            )


def _check(given: PlateSetup) -> None:
    """Whether paths are there and names are names.

    Raises:
        InputError: One is not.
    """
    if "://" not in given.images and not Path(given.images).expanduser().exists():
        raise InputError(f"there is no folder {given.images} (--images)")
    if given.wells and "://" not in given.wells and not Path(given.wells).expanduser().is_file():
        raise InputError(f"there is no file {given.wells} (--wells)")
    if not re.fullmatch(r"[A-Za-z0-9][\w-]*", given.env):
        raise InputError(f"--env {given.env} is no name of a folder below conf")


def _channels(text: str | None) -> Channels | None:
    if text is None:
        return None
    try:
        channels = TypeAdapter(Channels).validate_python(text)
    except ValidationError as error:
        why = error.errors()[0]["msg"].removeprefix("Value error, ")
        raise InputError(f"--channels {text}: {why}") from error
    if len(set(channels.values())) < len(channels):
        raise InputError(f"--channels {text}: two channels are one of the images'")
    return channels


def _columns(text: str | None) -> dict[str, str]:
    return TypeAdapter(ColumnNames).validate_python(text or {})


def _short(name: str | None, images: str) -> str:
    folder = name or Path(images.rstrip("/")).name.split(".", 1)[0]
    return re.sub(r"[^A-Za-z0-9_.-]+", "_", folder).strip("_.") or "plates"


def _absolute(place: str) -> str:
    return place if "://" in place else str(Path(place).expanduser().absolute())


def _show(proposal: Proposal) -> None:
    plates = proposal.plates
    click.echo(f"{len(proposal.images)} images: {proposal.road}")
    if proposal.image_names is not None:
        click.echo(f"names     {proposal.image_names}")
    pairs = (f"{ours} = {theirs}" for ours, theirs in proposal.channels.items())
    click.echo(f"channels  {', '.join(pairs)}")
    unused = sorted(map(str, set(proposal.images["channel"]) - set(proposal.channels.values())))
    if unused:
        click.echo(f"          of the images' channels these are not used: {', '.join(unused)}")
    if not NUCLEAR_STAINS & {channel.lower() for channel in proposal.channels}:
        _, *others = proposal.channels.items()
        named = ["DNA=" + str(next(iter(proposal.channels.values())))]
        named += [f"{ours}={theirs}" for ours, theirs in others]
        click.echo(
            "          none is called DNA; name the channel of nuclei, so that cells are counted, "
            f"as in --channels {'+'.join(named)}"
        )
    console = Console()
    table = Table(box=None, pad_edge=False)
    for column in ("plate", "wells", "sites", "complete", "incomplete"):
        table.add_column(column, justify="left" if column == "plate" else "right")
    for row in plates.head(_PLATES_SHOWN).itertuples(index=False):
        table.add_row(*map(str, row))
    console.print(table)
    if len(plates) > _PLATES_SHOWN:
        click.echo(f"... and {len(plates) - _PLATES_SHOWN} more plates")
    if proposal.not_placed:
        names = (path.rstrip("/").rsplit("/", 1)[-1] for path in proposal.not_placed)
        click.echo(
            f"not read  {len(proposal.not_placed)} file(s) or folder(s): {example_of(names)}"
        )


def _show_wells(proposal: Proposal, place: str, given: dict[str, str]) -> dict[str, str]:
    """Hold the table of wells against the images; what its columns are called."""
    table = SpreadsheetDataset(filepath=_absolute(place), called="the wells table").load()
    assert table is not None
    likely = likely_columns(table.columns)
    columns = {ours: theirs for ours, theirs in likely.items() if theirs not in given.values()}
    columns |= given
    if columns:
        click.echo("columns   " + ", ".join(f"{theirs} = {o}" for o, theirs in columns.items()))
    wells = read_wells_table(table, columns)
    counts = wells[ROLE].value_counts().to_dict()
    click.echo(f"wells     {len(wells)}: " + ", ".join(f"{n} {role}" for role, n in counts.items()))
    found = covered(proposal.images, wells)
    findings: dict[str, Sequence[str | None]] = {
        "have images and a row": [None] * found.both,
        "of the table have no image": found.without_images,
        "have images and no row, and are not used": found.without_row,
        "plate(s) of the table have no image": found.plates_without_images,
        "plate(s) have images and are not in the table": found.plates_without_rows,
    }
    for what, which in findings.items():
        if which:
            example = f": {example_of(which)}" if which[0] is not None else ""
            click.echo(f"          {len(which)} {what}{example}")
    if not found.both:
        raise InputError(
            "no imaged well has a row in the table of wells: are plates called alike? The images "
            f"have {example_of(map(repr, proposal.plates[PLATE]))}, the table "
            f"{example_of(map(repr, sorted(set(wells[PLATE]))))}; numbers in Excel lose leading "
            "zeros"
        )
    if found.plates_without_rows:
        raise InputError(
            f"{len(found.plates_without_rows)} plate(s) have images and are not in the table of "
            f"wells: {example_of(found.plates_without_rows)}; add them there, or leave their "
            "images out of the folder"
        )
    if not counts.get("negcon"):
        click.echo(
            "          no negative control: plates are normalised by all of their wells, and there "
            "is no z and no\n          replicability against controls; if there are some, write "
            "negcon into the column control"
        )
    return columns


def _configuration(
    proposal: Proposal, source: dict[str, str], columns: dict[str, str], name: str
) -> dict[str, str]:
    """The two files, as text."""
    ingestion: dict[str, Any] = {"experiment": "other"}
    if proposal.image_names is not None:
        ingestion["image_names"] = proposal.image_names
    if columns:
        ingestion["well_columns"] = columns
    parameters = {
        "ingestion": ingestion,
        "image_features": {"channels": dict(proposal.channels)},
    }
    return {
        "globals.yml": _GLOBALS.format(name=name) + _as_yaml({"source": source}),
        "parameters.yml": "# Written by kedro init-plates.\n" + _as_yaml(parameters),
    }


def _as_yaml(values: dict[str, Any]) -> str:
    return yaml.safe_dump(values, sort_keys=False, allow_unicode=True, width=1000)


def _write(folder: Path, texts: dict[str, str], *, yes: bool, replace: bool) -> None:
    there = [name for name in texts if (folder / name).exists()]
    place = os.path.relpath(folder)
    if there and not replace:
        raise click.ClickException(
            f"{place} has {' and '.join(there)} already: give --env another name, or --replace"
        )
    for name, text in texts.items():
        click.echo(f"\n{place}/{name}\n{text.rstrip()}")
    if not yes and not click.confirm("\nWrite these files?", default=True):
        raise click.Abort
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in texts.items():
        with written_whole(folder / name) as path:
            path.write_text(text, encoding="utf-8")


def _write_table_to_fill_in(proposal: Proposal, path: Path, given: PlateSetup) -> None:
    if path.exists():
        raise InputError(f"{path} is there already: fill it in and give it as --wells")
    table: pd.DataFrame = wells_to_fill_in(proposal.images)
    table.to_csv(path, index=False)
    click.echo(
        f"\n{path} has a row for each of the {len(table)} imaged wells. Fill in perturbation, and "
        "control (negcon,\nposcon, empty) where there is one; docs/your-plates.md has all columns. "
        f"Then\n\n  {_command_again(given, path)}"
    )


def _command_again(given: PlateSetup, table: Path) -> str:
    options = {"--images": given.images, "--wells": str(table), "--names": given.names}
    options |= {"--channels": given.channels, "--columns": given.columns, "--name": given.name}
    options |= {"--env": None if given.env == "local" else given.env}
    words = [word for option, value in options.items() if value for word in (option, value)]
    return shlex.join(["kedro", "init-plates", *words])


def _say_how_to_go_on(env: str) -> None:
    option = "" if env == "local" else f" --env {env}"
    click.echo(
        f"\nNow\n\n  kedro run{option} --pipeline plate_report   # features, profiles, a report of "
        f"quality\n  kedro run{option}                           # train a model, too\n\nImage "
        "features come from DINOv3, whose weights need an approval (README, Real data); "
        "image_features.backbone\nnames another."
    )
    usual = os.environ.get("KEDRO_ENV")
    if usual and usual != env:
        click.echo(
            f"\nCommands without --env work on {usual}, because KEDRO_ENV says so (a line of "
            f".env?): remove it, or add --env {env}."
        )
