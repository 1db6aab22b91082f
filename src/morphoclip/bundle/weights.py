"""A trained model's numbers as flat tensors, and back."""

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from morphoclip.bundle.config import BundleConfig
from morphoclip.errors import InputError
from morphoclip.models.config import ModelShape
from morphoclip.models.trained import Member, TrainedModel

_CLOSED_FORM = "closed_form/"
_OFFSET = "plate_offset/"


def tensors_of(model: TrainedModel) -> dict[str, Tensor]:
    """All tensors: ``member_1/<weight>``, ``member_1/plate_offset/<number>``, ``closed_form/...``.

    Plates' offsets are numbered in the order of `plate_names`.
    """
    tensors: dict[str, Tensor] = {}
    for number, member in enumerate(model.members, start=1):
        prefix = _prefix(number)
        tensors |= {prefix + name: weight for name, weight in member.state.items()}
        for place, plate in enumerate(plate_names(model)):
            if plate in member.plate_offsets:
                tensors[f"{prefix}{_OFFSET}{place}"] = member.plate_offsets[plate]
    closed_form = (model.closed_form or {}).items()
    tensors |= {_CLOSED_FORM + name: weight for name, weight in closed_form}
    return {name: tensor.contiguous() for name, tensor in tensors.items()}


def plate_names(model: TrainedModel) -> tuple[str, ...]:
    """Plates with offsets, in order."""
    return tuple(sorted(model.aligned_plates))


def described(model: TrainedModel) -> dict[str, Any]:
    """The fields of `BundleConfig` that say what a model is."""
    return {
        "digest": model.digest,
        "model": model.config,
        "n_channels": model.shape.n_channels,
        "feature_dim": model.shape.feature_dim,
        "text_dim": model.shape.text_dim,
        "fact_names": dict(model.fact_names),
        "epochs": tuple(member.epoch for member in model.members),
        "plate_names": plate_names(model),
        "closed_form": model.closed_form is not None,
        "image_fingerprint": model.image_fingerprint,
        "text_fingerprint": model.text_fingerprint,
        "manifest_sha256": model.manifest_sha256,
        "wells_sha256": model.wells_sha256,
        "validation_joined": model.validation_joined,
        "started_from": model.started_from,
    }


def trained_model(config: BundleConfig, tensors: Mapping[str, Tensor]) -> TrainedModel:
    """The inverse of `tensors_of` and `described`.

    Raises:
        InputError: The tensors are not those of the configuration.
    """
    members = tuple(
        _member(config, _below(tensors, _prefix(number)), epoch)
        for number, epoch in enumerate(config.epochs, start=1)
    )
    facts = {source: len(names) for source, names in config.fact_names.items()}
    model = TrainedModel(
        config=config.model,
        shape=ModelShape(config.n_channels, config.feature_dim, config.text_dim, facts),
        members=members,
        closed_form=_below(tensors, _CLOSED_FORM) if config.closed_form else None,
        fact_names=config.fact_names,
        image_fingerprint=config.image_fingerprint,
        text_fingerprint=config.text_fingerprint,
        manifest_sha256=config.manifest_sha256,
        wells_sha256=config.wells_sha256,
        validation_joined=config.validation_joined,
        started_from=config.started_from,
    )
    if model.digest != config.digest:
        raise InputError(
            f"the bundle's weights are not those that its configuration names ({model.digest}, not "
            f"{config.digest}): fetch or pack it again"
        )
    return model


def _member(config: BundleConfig, tensors: Mapping[str, Tensor], epoch: int) -> Member:
    offsets = _below(tensors, _OFFSET)
    state = {name: weight for name, weight in tensors.items() if not name.startswith(_OFFSET)}
    of_plates = {
        plate: offsets[str(place)]
        for place, plate in enumerate(config.plate_names)
        if str(place) in offsets
    }
    return Member(state, of_plates, epoch)


def _prefix(number: int) -> str:
    return f"member_{number}/"


def _below(tensors: Mapping[str, Tensor], prefix: str) -> dict[str, Tensor]:
    return {
        name.removeprefix(prefix): tensor
        for name, tensor in tensors.items()
        if name.startswith(prefix)
    }
