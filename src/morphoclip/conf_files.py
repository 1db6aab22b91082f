"""The files below conf/, before anything is read from them: what cannot be meant is refused."""

import difflib
import re
from collections.abc import Iterator
from fnmatch import fnmatch
from pathlib import Path
from typing import Any, NamedTuple

import yaml
from kedro.config import OmegaConfigLoader
from omegaconf.errors import OmegaConfBaseException

from morphoclip.errors import InputError
from morphoclip.files import shown_path
from morphoclip.renamed import DATASETS, PARAMETERS, renamed

_KINDS = ("catalog", "parameters", "mlflow", "globals", "credentials", "logging")
_WRITTEN = {".yml", ".yaml", ".json"}
_NAMED = {
    "parameters": ("group of parameters", "which no pipeline reads"),
    "catalog": ("catalog entry", "which no pipeline uses"),
}
_COMPLETE = ("base", "demo")
"""Environments that hold every group and entry that pipelines use; others change some of them."""

_TABS = "found character '\\t' that cannot start any token"


class _Key(NamedTuple):
    """A key at the top of a file."""

    name: str
    file: Path
    line: int


class CheckedConfigLoader(OmegaConfigLoader):
    """Kedro's loader, which refuses first what it would fail at in its own words, or pass over."""

    def __init__(self, conf_source: str | Path, env: str | None = None, **options: Any) -> None:
        check_conf_files(Path(conf_source), env or options.get("default_run_env") or "local")
        super().__init__(str(conf_source), env, **options)


def check_conf_files(conf: Path, env: str) -> None:
    """Read the files of the base and of an environment, and nothing from them.

    Raises:
        InputError: A file is no YAML, holds a key twice or one that nothing reads, or is of a name
            that nothing reads.
    """
    for name in dict.fromkeys(["base", env]):
        _refuse_unread_files(conf / name)
        for kind in _KINDS:
            found = list(_keys_of(conf / name, kind))
            _refuse_repeats(found)
            if name not in _COMPLETE and kind in _NAMED:
                known = {key.name for one in _COMPLETE for key in _keys_of(conf / one, kind)}
                _refuse_unknown(found, known, kind)


def _files(folder: Path) -> list[Path]:
    hidden = (file for file in folder.rglob("*") if file.suffix in _WRITTEN)
    return sorted(file for file in hidden if not file.name.startswith("."))


def _is_of(file: Path, folder: Path, kind: str) -> bool:
    """Whether Kedro reads a file for this kind of configuration."""
    if kind == "globals":
        return file.relative_to(folder).as_posix() == "globals.yml"
    return any(fnmatch(part, f"{kind}*") for part in file.relative_to(folder).parts)


def _refuse_unread_files(folder: Path) -> None:
    for file in _files(folder):
        if any(_is_of(file, folder, kind) for kind in _KINDS):
            continue
        close = difflib.get_close_matches(file.stem, _KINDS, n=1, cutoff=0.4)
        raise InputError(
            f"{shown_path(file)} is read by nothing: files below conf/ are called "
            f"{(close or ['parameters'])[0]}.yml, or begin with catalog or parameters. Rename it, "
            "or move it away"
        )


def _keys_of(folder: Path, kind: str) -> Iterator[_Key]:
    for file in _files(folder):
        if _is_of(file, folder, kind):
            yield from _top_of(file)


def _top_of(file: Path) -> Iterator[_Key]:
    """The keys at the top of a file, which is read as YAML as a whole.

    Raises:
        InputError: It is not in UTF-8, no YAML, no mapping, or a key is there twice.
    """
    shown = shown_path(file)
    try:
        text = file.read_bytes().decode("utf-8")
    except UnicodeDecodeError as error:
        line = error.object[: error.start].count(b"\n") + 1
        raise InputError(
            f"{shown}, line {line}: a character that is no UTF-8; save the file in UTF-8"
        ) from error
    try:
        top = yaml.compose(text.removeprefix("\ufeff"), Loader=yaml.SafeLoader)
    except yaml.YAMLError as error:
        raise InputError(_no_yaml(error, shown)) from error
    if top is None:
        return
    if not isinstance(top, yaml.MappingNode):
        raise InputError(f"{shown} holds no `key: value` at its top: write the group's name there")
    _refuse_keys_twice(top, shown)
    for key, _ in top.value:
        yield _Key(str(key.value), file, key.start_mark.line + 1)


def _no_yaml(error: yaml.YAMLError, shown: str) -> str:
    mark = getattr(error, "problem_mark", None)
    begun = getattr(error, "context_mark", None)
    problem = str(getattr(error, "problem", None) or error).strip()
    where = f", line {mark.line + 1}" if mark else ""
    if problem == _TABS:
        return f"{shown}{where}: a tab; YAML is indented by blanks"
    opened = f" (what began in line {begun.line + 1} does not end)" if begun else ""
    return (
        f"{shown}{where} is no YAML: {problem}{opened}; write key: value, indent by two blanks, "
        "and put quotes around text that has a colon, a bracket or a # in it"
    )


def _refuse_keys_twice(node: yaml.Node, shown: str) -> None:
    if isinstance(node, yaml.SequenceNode):
        for item in node.value:
            _refuse_keys_twice(item, shown)
    if isinstance(node, yaml.MappingNode):
        seen: dict[str, int] = {}
        for key, value in node.value:
            name, line = str(key.value), key.start_mark.line + 1
            if name in seen and name != "<<":
                raise InputError(
                    f"{shown}: {name} is there twice, in lines {seen[name]} and {line}; keep one"
                )
            seen[name] = line
            _refuse_keys_twice(value, shown)


def _refuse_repeats(keys: list[_Key]) -> None:
    seen: dict[str, _Key] = {}
    for key in keys:
        first = seen.setdefault(key.name, key)
        if first.file != key.file and not key.name.startswith("_"):
            raise InputError(
                f"{key.name} is in {shown_path(first.file)}, line {first.line}, and in "
                f"{shown_path(key.file)}, line {key.line}: a group stands in one file of an "
                "environment; put them together"
            )


def _refuse_unknown(keys: list[_Key], known: set[str], kind: str) -> None:
    what, why = _NAMED[kind]
    for key in keys:
        if key.name in known or key.name.startswith("_"):
            continue
        old = PARAMETERS if kind == "parameters" else DATASETS
        if key.name in old:
            where = f"{shown_path(key.file)}, line {key.line}"
            raise InputError(f"{where}: {renamed(what, key.name, old)}")
        close = difflib.get_close_matches(key.name, known, n=1)
        hint = f"; did you mean {close[0]}?" if close else ""
        raise InputError(
            f"{shown_path(key.file)}, line {key.line}: {key.name} is a {what} {why}{hint}"
        )


def unresolved(error: OmegaConfBaseException, conf: Path) -> str:
    """Which value below conf/ cannot be worked out, where it stands, and why."""
    reason = str(error).splitlines()[0].strip().rstrip(".")
    words = [word for pair in re.findall(r"'([^']+)'|type (\w+)", reason) for word in pair if word]
    place = next(
        (
            f"{shown_path(file)}, line {number}"
            for file in _files(conf)
            for number, line in enumerate(file.read_text(encoding="utf-8").splitlines(), start=1)
            if "${" in line and any(word in line for word in words)
        ),
        "conf",
    )
    key: Any = getattr(error, "full_key", None)
    return (
        f"{place}: the value of {key or 'a key'} cannot be worked out ({reason}); what stands in "
        "${...} is another key, ${oc.env:NAME,default} or ${globals:name}"
    )
