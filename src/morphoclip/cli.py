"""``kedro run`` that also takes ``--params key:value``, and ends a user's mistake in a sentence.

Everything else about the command is Kedro's own, so that options added upstream keep working.
"""

import copy
import re
from collections.abc import Iterator
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import _split_params, split_string
from kedro.io import DatasetError
from kedro.validation.exceptions import DataValidationError, ParameterValidationError

from morphoclip.errors import InputError

# a dotted parameter name, then the first colon that comes before any equals sign
_COLON_ITEM = re.compile(r"^(\s*[\w.\-]+\s*):(.*)$", flags=re.DOTALL)


def _params_callback(context: click.Context, param: click.Parameter, value: Any) -> Any:
    """Rewrite ``a.b:1`` to ``a.b=1`` and let Kedro parse the result."""
    if isinstance(value, str):
        items = split_string(context, param, value)
        value = ",".join(_COLON_ITEM.sub(r"\1=\2", item, count=1) for item in items)
    return _split_params(context, param, value)


def _run(**options: Any) -> Any:
    """Kedro's command; ``--pipeline x`` is ``--pipelines x`` without the deprecation notice."""
    if options.get("pipeline") and not options.get("pipelines"):
        options["pipelines"], options["pipeline"] = [options["pipeline"]], None
    try:
        return kedro_run.callback(**options)
    except Exception as error:
        sentence = explain(error)
        if sentence is None:
            raise
        raise click.ClickException(sentence) from error


def explain(error: BaseException) -> str | None:
    """One sentence for a user's mistake; None for what is a fault of the program."""
    for cause in _chain(error):
        if isinstance(cause, InputError | DataValidationError):
            return str(cause)
        if isinstance(cause, ParameterValidationError):
            return _explain_parameters(cause)
    if isinstance(error, DatasetError):
        return str(error).splitlines()[0]
    if isinstance(error, ValueError) and "Failed to find the pipeline" in str(error):
        return str(error)
    return None


def _chain(error: BaseException) -> Iterator[BaseException]:
    """The error and what it came from."""
    seen: BaseException | None = error
    while seen is not None:
        yield seen
        seen = seen.__cause__ or seen.__context__


def _explain_parameters(error: ParameterValidationError) -> str:
    """``training.epochs: input should be ...`` for each mistake, without pydantic's links."""
    return str(error)


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
