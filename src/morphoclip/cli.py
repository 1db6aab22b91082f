"""``kedro run`` that also takes ``--params key:value``, and ends a user's mistake in a sentence.

Everything else about the command is Kedro's own, so that options added upstream keep working.
"""

import copy
import difflib
import itertools
import os
import re
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import click
from kedro.config import MissingConfigException
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import _split_params
from kedro.framework.project import pipelines
from kedro.framework.session import KedroSession
from kedro.framework.startup import bootstrap_project
from kedro.io import DatasetError
from kedro.utils import find_kedro_project
from kedro.validation.exceptions import DataValidationError, ParameterValidationError
from omegaconf.errors import OmegaConfBaseException
from yaml import YAMLError

from morphoclip.config import Config
from morphoclip.errors import InputError

# a dotted parameter name, then the first colon that comes before any equals sign
_COLON_ITEM = re.compile(r"^(\s*[\w.\-]+\s*):(.*)$", flags=re.DOTALL)

# a dotted parameter name and what it is set to
_ITEM = re.compile(r"^\s*(?P<key>[\w.\-]+)\s*[:=](?P<value>.*)$", flags=re.DOTALL)

_PROSE = ("look_up.words", "look_up.treatment")
"""Parameters that are words and names: commas, colons and brackets in them mean themselves."""

# a mistake as pydantic prints it: the field's path, unless the whole model is meant, then the rest
_PYDANTIC_MISTAKE = re.compile(
    r"^(?:(?P<field>[\w.]+)\n)?  (?P<message>[^\n]*) "
    r"\[type=(?P<type>\w+), input_value=(?P<value>.*?), input_type=\w+\]",
    flags=re.MULTILINE,
)


_WHERE = """
The newest report: {report}
The pipelines:     kedro viz         then http://127.0.0.1:4141
The runs:          kedro mlflow ui   then http://127.0.0.1:5000, view "Model training"
Commands lie in .venv/bin. A line KEDRO_ENV=demo in .env makes plain commands work on
the demo; remove it to work on real data."""


def _params_callback(context: click.Context, param: click.Parameter, value: Any) -> Any:
    """Rewrite ``a.b:1`` to ``a.b=1`` and let Kedro parse the result."""
    if not isinstance(value, str):
        return _split_params(context, param, value)
    prose, items = _apart_from_prose(value.split(","))
    for before, item in itertools.pairwise(items):
        if not re.search("[:=]", item):
            raise click.BadParameter(
                f"{item} stands alone after a comma; join the values of a list with a plus: "
                f"{before}+{item}"
            )
    rewritten = ",".join(_COLON_ITEM.sub(r"\1=\2", item, count=1) for item in items)
    try:
        parsed: dict[str, Any] = _split_params(context, param, rewritten)
    except (YAMLError, OmegaConfBaseException) as error:
        reason = str(error).splitlines()[0]
        raise click.BadParameter(f"{rewritten} cannot be read as YAML ({reason})") from error
    for key, text in prose.items():
        group, _, field = key.partition(".")
        parsed.setdefault(group, {})[field] = text.strip().replace("${", "\\${")
    return parsed


def _apart_from_prose(items: list[str]) -> tuple[dict[str, str], list[str]]:
    """Parameters said in words, as they stand, and the other items.

    What follows a comma and sets no dotted parameter belongs to the words before it.
    """
    prose: dict[str, str] = {}
    others: list[str] = []
    last = ""
    for item in items:
        said = _ITEM.match(item)
        key = said["key"] if said else ""
        if said and key in _PROSE:
            prose[key] = said["value"]
            last = key
        elif last and "." not in key:
            prose[last] += f",{item}"
        elif item.strip():
            others.append(item.strip())
            last = ""
    return prose, others


kedro_command: Callable[..., Any] = kedro_run.callback  # type: ignore[assignment]


def _run(**options: Any) -> Any:
    """Kedro's command; ``--pipeline x`` is ``--pipelines x`` without the deprecation notice."""
    if options.get("pipeline") and not options.get("pipelines"):
        options["pipelines"], options["pipeline"] = [options["pipeline"]], None
    try:
        return kedro_command(**options)
    except Exception as error:
        sentence = explain(error)
        if sentence is None:
            raise
        raise click.ClickException(sentence) from error


def explain(error: BaseException) -> str | None:
    """One sentence for a user's mistake; None for what is a fault of the program."""
    causes = list(_chain(error))
    for cause in causes:
        if isinstance(cause, InputError | DataValidationError):
            return str(cause)
        if isinstance(cause, ParameterValidationError):
            return _explain_parameters(cause)
    if isinstance(error, MissingConfigException) and "does not exist" in str(error):
        return f"there is no environment {str(error).rpartition('/')[2]}: conf holds no such folder"
    if isinstance(error, DatasetError):
        return _explain_dataset(error, causes[-1])
    if isinstance(error, ValueError) and "Failed to find the pipeline" in str(error):
        wanted = str(error).split("'")[1]
        close = difflib.get_close_matches(wanted, pipelines, n=1)
        hint = f", did you mean {close[0]}?" if close else ""
        return f"there is no pipeline {wanted}{hint} There are {', '.join(sorted(pipelines))}"
    return None


def _explain_dataset(error: DatasetError, root: BaseException) -> str:
    """Which file, why not, and what to do; Kedro's own words name the dataset's settings."""
    place = re.search(r"(?:file)?path=(?:PurePosixPath\()?'([^']+)'", str(error))
    if place is None:
        return str(error).splitlines()[0]
    verb = "written" if str(error).startswith("Failed while saving") else "read"
    cause = (str(root).strip() or type(root).__name__).splitlines()[0].split(". ")[0]
    return (
        f"{os.path.relpath(place[1]) if '://' not in place[1] else place[1]} cannot be {verb} "
        f"({cause}). Where it was damaged, delete it and run the pipeline that makes it again, or "
        "fetch it again"
    )


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _explain_parameters(error: ParameterValidationError) -> str:
    """``training.epochs: Input should be ...`` for each mistake, without pydantic's links."""
    mistakes = []
    for part in re.split(r"^- Parameter ", str(error), flags=re.MULTILINE)[1:]:
        group = part.split("'")[1]
        found = list(_PYDANTIC_MISTAKE.finditer(part))
        mistakes += [_mistake(group, match) for match in found] or [f"{group}: {part.strip()}"]
    return f"{len(mistakes)} wrong parameter(s): " + "; ".join(mistakes)


def _mistake(group: str, match: re.Match[str]) -> str:
    name = f"{group}.{match['field']}" if match["field"] else group
    if match["type"] != "extra_forbidden":
        return f"{name}: {match['message'].removeprefix('Value error, ')} (given {match['value']})"
    known = sorted({key for model in _config_models() for key in model.model_fields})
    close = difflib.get_close_matches(name.rsplit(".", 1)[-1], known, n=1, cutoff=0.75)
    return f"{name}: there is no such parameter" + (f", did you mean {close[0]}?" if close else "")


def _config_models(root: type[Config] = Config) -> Iterator[type[Config]]:
    for model in root.__subclasses__():
        yield model
        yield from _config_models(model)


def _with_colon_params(command: click.Command) -> click.Command:
    command = copy.copy(command)
    command.callback = _run
    command.params = [copy.copy(param) for param in command.params]
    for param in command.params:
        if param.name == "params":
            param.callback = _params_callback
    return command


@click.group(name="morphoclip")
def cli() -> None:
    """MorphoCLIP's commands."""


run = _with_colon_params(kedro_run)
cli.add_command(run, name="run")


@cli.command("where")
@click.option("--env", "-e", default=None, help="Kedro environment; .env or base otherwise.")
def where(env: str | None) -> None:
    """Say where the newest report lies and how to look at a run."""
    project = find_kedro_project(Path.cwd()) or Path.cwd()
    bootstrap_project(project)
    session: Any = KedroSession.create(project_path=project, env=env)
    try:
        report = session.load_context().catalog["report"]
    except MissingConfigException as error:
        raise click.ClickException(explain(error) or str(error)) from error
    if not report.exists():
        raise click.ClickException("there is no report yet: kedro run makes one")
    path = Path(str(report._get_load_path()))
    click.echo(_WHERE.format(report=os.path.relpath(path)))


_VERSION = re.compile(r"\d{4}-\d\d-\d\dT\d\d\.\d\d\.\d\d\.\d{3}Z")


@cli.command("prune")
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
        runs = sorted(folder.glob("*/run.json"), key=lambda path: path.stat().st_mtime)
        yield from (run.parent for run in runs[:-keep])


def old_versions(root: Path, *, keep: int) -> Iterator[Path]:
    """Folders of versions beyond the newest ``keep`` of each versioned file below ``root``."""
    versions = [path for path in root.rglob("*") if _VERSION.fullmatch(path.name)]
    for _, own in itertools.groupby(sorted(versions), key=lambda path: path.parent):
        yield from list(own)[:-keep]
