"""``kedro run`` with ``--params key:value``, which ends a user's mistake in a sentence.

Everything else about the command is Kedro's own, so that options added upstream keep working.
"""

import copy
import re
from collections.abc import Callable
from typing import Any

import click
from kedro.framework.cli.project import run as kedro_run
from kedro.framework.cli.utils import _split_load_versions
from kedro.framework.project import pipelines, settings

from morphoclip.cli.explain import explain
from morphoclip.cli.params import read_params
from morphoclip.errors import InputError
from morphoclip.renamed import DATASETS, NODES, PIPELINES, renamed

kedro_command: Callable[..., Any] = kedro_run.callback  # type: ignore[assignment]

UNTRACKED = {"find_similar"}
"""Pipelines that measure nothing: a command that runs only these does not wait for MLflow."""

_NODE_OPTIONS = ("node_names", "from_nodes", "to_nodes")
_DATASET_OPTIONS = ("from_inputs", "to_outputs", "load_versions")


def _run(**options: Any) -> Any:
    """Kedro's command; ``--pipeline x`` is ``--pipelines x`` without the deprecation notice."""
    if options.get("pipeline") and not options.get("pipelines"):
        options["pipelines"], options["pipeline"] = [options["pipeline"]], None
    disabled = tuple(settings.DISABLE_HOOKS_FOR_PLUGINS)
    try:
        if set(options.get("pipelines") or ["__default__"]) <= UNTRACKED:
            settings.set("DISABLE_HOOKS_FOR_PLUGINS", (*disabled, "kedro_mlflow"))
        return kedro_command(**_with_namespaces(options))
    except Exception as error:
        sentence = explain(error)
        if sentence is None:
            raise
        raise click.ClickException(sentence) from error
    finally:
        settings.set("DISABLE_HOOKS_FOR_PLUGINS", disabled)


def _with_namespaces(options: dict[str, Any]) -> dict[str, Any]:
    """Options in which ``train_model`` stands for ``training.train_model``.

    Raises:
        InputError: A node or a catalog entry is called by a name that it had before.
    """
    for option in _DATASET_OPTIONS:
        for name in options.get(option) or ():
            if name in DATASETS:
                raise InputError(renamed("catalog entry", name, DATASETS))
    for name in options.get("namespaces") or ():
        if name in PIPELINES:
            raise InputError(renamed("namespace", name, PIPELINES))
    wanted = {option: list(options.get(option) or ()) for option in _NODE_OPTIONS}
    for name in (name for names in wanted.values() for name in names):
        if (bare := name.rsplit(".", 1)[-1]) in NODES:
            raise InputError(renamed("node", bare, NODES))
    if not any(wanted.values()):
        return options
    names = options.get("pipelines") or ["__default__"]
    nodes = [node.name for name in names if name in pipelines for node in pipelines[name].nodes]
    qualified = {name.rsplit(".", 1)[-1]: name for name in nodes}
    return options | {
        option: [qualified.get(name, name) for name in given] for option, given in wanted.items()
    }


def _with_colon_params(command: click.Command) -> click.Command:
    command = copy.copy(command)
    command.callback = _run
    command.params = [copy.copy(param) for param in command.params]
    for param in command.params:
        if param.name == "params":
            param.callback = read_params
            param.multiple = True  # a second --params adds to the first
            param.default = ()
        if param.name == "load_versions":
            param.callback = _read_versions
    return command


def _read_versions(context: click.Context, param: click.Parameter, value: Any) -> Any:
    """Kedro's own reading, whose refusal says nothing."""
    for item in (value or "").split(","):
        name, _, version = item.strip().partition(":")
        if item.strip() and not (name and re.fullmatch(r"[\w.:+-]+", version)):
            raise click.BadParameter(
                f"{item.strip()} is no version: write entry:version, as in "
                "model:2026-01-31T09.00.00.000Z"
            )
    return _split_load_versions(context, param, value)


run = _with_colon_params(kedro_run)
