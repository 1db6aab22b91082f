"""Every number among the parameters, beyond its bounds and not a number at all."""

import math
from collections.abc import Iterator
from typing import Any

import pytest
from attacks.outcomes import Attack, outcome
from kedro.validation.exceptions import ParameterValidationError
from pydantic import BaseModel
from pydantic.fields import FieldInfo

from morphoclip.evaluation.config import EvaluationConfig
from morphoclip.features.config import ImageFeaturesConfig, TextFeaturesConfig
from morphoclip.gallery.source import IngestionConfig
from morphoclip.models.config import ModelConfig
from morphoclip.perturbations.wording import PromptTemplates
from morphoclip.splits.config import SplitConfig
from morphoclip.training.config import TrainingConfig
from morphoclip.training.fine_tuning import LoraConfig

GROUPS: dict[str, type[BaseModel]] = {
    "ingestion": IngestionConfig,
    "image_features": ImageFeaturesConfig,
    "text_features": TextFeaturesConfig,
    "splitting": SplitConfig,
    "model": ModelConfig,
    "training": TrainingConfig,
    "lora": LoraConfig,
    "evaluation": EvaluationConfig,
    "prompt_templates": PromptTemplates,
}
NEEDED = {
    "image_features": {
        "channels": "DNA=1",
        "backbone": {"kind": "untrained", "untrained": {"heads": 3}},
    }
}


_BOUNDS = ("ge", "gt", "le", "lt")


def bounds(field: FieldInfo) -> dict[str, float]:
    return {
        name: getattr(item, name)
        for item in field.metadata
        for name in _BOUNDS
        if getattr(item, name, None) is not None
    }


def numbers_of(model: type[BaseModel], path: tuple[str, ...] = ()) -> Iterator[tuple[tuple, dict]]:
    """Paths of fields that are numbers, with their bounds."""
    for name, field in model.model_fields.items():
        parts = [field.annotation, *getattr(field.annotation, "__args__", ())]
        inner = next((p for p in parts if isinstance(p, type) and issubclass(p, BaseModel)), None)
        if inner is not None:
            yield from numbers_of(inner, (*path, name))
        elif found := bounds(field):
            yield (*path, name), found


def nested(path: tuple[str, ...], value: Any, base: dict[str, Any]) -> dict[str, Any]:
    first, *rest = path
    inner = base.get(first) if isinstance(base.get(first), dict) else {}
    return base | {first: nested(tuple(rest), value, inner) if rest else value}


def attacks() -> Iterator[Attack]:
    for group, model in GROUPS.items():
        for path, found in numbers_of(model):
            low = found.get("ge", found.get("gt", 0))
            high = found.get("le", found.get("lt", 0))
            below = low if "gt" in found else low - 1
            above = high if "lt" in found else high + 1
            for value in (below, above, math.nan, math.inf, "a word", [1, 2]):
                given = nested(path, value, NEEDED.get(group, {}))
                field = ".".join(path)
                yield Attack(
                    f"{group}.{field}:{value}",
                    lambda group=group, model=model, given=given: read(group, model, given),
                    words=path[-1],
                )


def read(group: str, model: type[BaseModel], given: dict[str, Any]) -> Any:
    """As Kedro does, whose error names the group."""
    try:
        return model.model_validate(given)
    except Exception as error:
        raise ParameterValidationError(f"- Parameter '{group}': {error}") from error


ATTACKS = list(attacks())


def test_numbers_beyond_their_bounds_are_refused_by_name(caplog) -> None:
    assert len(ATTACKS) > 250
    found = {str(attack): outcome(attack, bool, caplog.records) for attack in ATTACKS}
    assert not {name: what for name, what in found.items() if what}


@pytest.mark.parametrize("group", GROUPS)
def test_unknown_keys_and_other_shapes_are_refused(group: str, caplog) -> None:
    model = GROUPS[group]
    for name, given in {
        "an unknown key": NEEDED.get(group, {}) | {"no_such_key": 1},
        "a list": [1],
        "a word": "word",
        "nothing": None,
    }.items():
        attack = Attack(name, lambda given=given: read(group, model, given), words=group)
        assert not outcome(attack, bool, caplog.records), name
