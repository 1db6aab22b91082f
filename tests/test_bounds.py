"""Every number among the parameters has a least and a largest value."""

import typing
from collections.abc import Iterator
from importlib import import_module
from pkgutil import walk_packages
from typing import Annotated, Any

import annotated_types
import pytest
from pydantic import ValidationError
from pydantic.fields import FieldInfo

import morphoclip
from morphoclip.config import Config
from morphoclip.training.config import TrainingConfig

CHECKED_ELSEWHERE = {"workers"}
"""A word or a number: its validator has the bounds."""


def config_models() -> list[type[Config]]:
    for module in walk_packages(morphoclip.__path__, "morphoclip."):
        if not module.name.endswith(("__main__", "settings")):
            import_module(module.name)
    found, waiting = [], [Config]
    while waiting:
        model = waiting.pop()
        waiting += model.__subclasses__()
        if model.__module__.startswith("morphoclip."):
            found.append(model)
    return found


def unbounded(annotation: Any, metadata: list[Any]) -> Iterator[Any]:
    """Types of numbers in an annotation that lack a bound; numbers that name channels do not."""
    if typing.get_origin(annotation) is Annotated:
        inner, *more = typing.get_args(annotation)
        flat = [
            item for one in more for item in (one.metadata if isinstance(one, FieldInfo) else [one])
        ]
        yield from unbounded(inner, [*metadata, *flat])
    elif annotation in (int, float):
        low = any(isinstance(item, annotated_types.Ge | annotated_types.Gt) for item in metadata)
        high = any(isinstance(item, annotated_types.Le | annotated_types.Lt) for item in metadata)
        if not (low and high):
            yield annotation
    elif typing.get_origin(annotation) is not dict:
        for part in typing.get_args(annotation):
            yield from unbounded(part, metadata)


def test_every_number_has_bounds() -> None:
    without = [
        f"{model.__name__}.{name}"
        for model in config_models()
        for name, field in model.model_fields.items()
        if name not in CHECKED_ELSEWHERE and list(unbounded(field.annotation, field.metadata))
    ]
    assert not without


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("seed", -1),
        ("seed", 2**64),
        ("seeds", "1+-1"),
        ("cpu_threads", 100_000),
        ("learning_rate", float("nan")),
        ("weight_decay", float("inf")),
        ("epochs", 10**12),
    ],
)
def test_numbers_beyond_any_use_are_refused(name: str, value: object) -> None:
    with pytest.raises(ValidationError, match=name):
        TrainingConfig.model_validate({name: value})
