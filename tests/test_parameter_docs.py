"""docs/parameters.md names every parameter and option, and gives the defaults of conf/base."""

import re
from collections.abc import Iterator
from enum import Enum
from typing import Any, Literal, get_args, get_origin

import pytest
import yaml
from project import PROJECT, Workspace
from pydantic import BaseModel

from morphoclip.columns import Role
from morphoclip.splits.strategies import STRATEGIES

PAGE = (PROJECT / "docs" / "parameters.md").read_text()
QUOTED = {
    section.split("\n", 1)[0]: set(re.findall(r"`([^`\n]+)`", section))
    for section in PAGE.split("\n## ")
}
"""What stands in backticks in each section, by its heading: one for each group of parameters."""


def _parts(annotation: Any) -> Iterator[Any]:
    """The annotation and all that it is made of: unions, containers, literals."""
    yield annotation
    if get_origin(annotation) is not Literal:
        for part in get_args(annotation):
            yield from _parts(part)


def _fields(name: str, model: type[BaseModel]) -> Iterator[tuple[str, list[Any]]]:
    """``group.field`` with the parts of its annotation, nested models last."""
    for field, info in model.model_fields.items():
        parts = list(_parts(info.annotation))
        nested = [p for p in parts if isinstance(p, type) and issubclass(p, BaseModel)]
        if not nested or type(None) in parts:
            yield f"{name}.{field}", parts
        for part in nested:
            yield from _fields(f"{name}.{field}", part)


def _options(parts: list[Any]) -> Iterator[str]:
    for part in parts:
        if get_origin(part) is Literal:
            yield from map(str, get_args(part))
        elif isinstance(part, type) and issubclass(part, Enum):
            yield from (str(member.value) for member in part)


def _leaves(name: str, value: Any) -> Iterator[tuple[str, Any]]:
    if name == "ablation.grids":  # the file is the place to read them
        return
    if isinstance(value, dict) and name != "image_features.channels":
        for key, item in value.items():
            yield from _leaves(f"{name}.{key}" if name else key, item)
    else:
        yield name, value


def _documented_defaults() -> dict[str, Any]:
    """The fourth cell of each row of a five-column table, as YAML reads it."""
    lines = (line for line in PAGE.splitlines() if line.startswith("| `"))
    rows = [row for row in (line.strip("| ").split(" | ") for line in lines) if len(row) == 5]
    return {row[0].strip("`"): yaml.safe_load(row[3].strip("`")) for row in rows}


@pytest.fixture(scope="module")
def models(tmp_path_factory) -> dict[str, type[BaseModel]]:
    params = Workspace(tmp_path_factory.mktemp("docs")).context().params
    return {group: type(model) for group, model in params.items()}


def test_every_parameter_is_documented(models) -> None:
    names = [name for group, model in models.items() for name, _ in _fields(group, model)]
    assert len(names) > 100
    missing = [name for name in names if name not in _documented_defaults()]
    assert not missing, f"parameters without a row in docs/parameters.md: {missing}"


def test_every_documented_parameter_exists(models) -> None:
    names = {name for group, model in models.items() for name, _ in _fields(group, model)}
    gone = sorted(set(_documented_defaults()) - names)
    assert not gone, f"rows of docs/parameters.md about parameters that do not exist: {gone}"


def test_every_option_is_documented(models) -> None:
    options = [
        (name, option)
        for group, model in models.items()
        for name, parts in _fields(group, model)
        for option in _options(parts)
    ]
    options += [("splitting.strategy", strategy) for strategy in STRATEGIES]
    options += [("splitting.exclude_roles", str(role)) for role in Role]
    missing = [
        f"{name}: {option}"
        for name, option in options
        if option not in QUOTED[name.split(".", 1)[0]]
    ]
    assert not missing, f"options that docs/parameters.md does not name: {missing}"


def test_documented_defaults_are_those_of_conf(tmp_path) -> None:
    context = Workspace(tmp_path, env="base").context()
    documented = _documented_defaults()
    written = dict(_leaves("", context.config_loader["parameters"]))
    wrong = [
        f"{name}: {documented.get(name)!r}, and conf/base has {value!r}"
        for name, value in written.items()
        if documented.get(name, ...) != value
    ]
    assert not wrong, f"defaults in docs/parameters.md that differ from conf/base: {wrong}"
