"""Low-rank adapters (LoRA, Hu et al. 2021, arXiv:2106.09685) on a frozen vision backbone, by peft.

peft is an optional dependency and is imported where an adapter is put on.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Self

import torch
from pydantic import Field
from torch import Tensor, nn

from morphoclip.backbone_identity import tensors_digest
from morphoclip.backbones.image.base import ImageBackbone
from morphoclip.config import Config, Names
from morphoclip.errors import InputError, example_of
from morphoclip.fingerprint import differences
from morphoclip.loaders import Loaders

ATTENTION: Names = ("q_proj", "k_proj", "v_proj", "o_proj")
"""Projections of attention, as transformers' vision models call them."""


class AdapterSettings(Config):
    """What an adapter changes: ``W x + alpha / rank * B A dropout(x)`` for W of the modules."""

    rank: int = Field(
        8, ge=0, le=1024, description="0 is no adapter: the towers alone, as a control."
    )
    alpha: float = Field(16.0, gt=0, le=1_000_000)
    dropout: float = Field(0.0, ge=0, lt=1)
    modules: Names = Field(ATTENTION, min_length=1, description="Last part of layers' names.")


@dataclass(frozen=True)
class Adapter:
    """Trained low-rank weights, and the backbone that they belong to.

    Attributes:
        settings: Their shape.
        backbone: Identity of the frozen backbone.
        weights: By layer, ``<layer>.lora_A.weight`` ``(rank, D_in)`` and
            ``<layer>.lora_B.weight`` ``(D_out, rank)``.
    """

    settings: AdapterSettings
    backbone: dict[str, str]
    weights: dict[str, Tensor]

    @property
    def digest(self) -> str:
        """Of weights and scale: what features made with it are told apart by."""
        scale = torch.tensor(self.settings.alpha / self.settings.rank)
        return tensors_digest([("scale", scale), *self.weights.items()])

    def to_safetensors(self) -> tuple[dict[str, Tensor], dict[str, str]]:
        """Tensors, and text for the file's header."""
        backbone = {f"backbone.{key}": value for key, value in self.backbone.items()}
        return self.weights, {"settings": self.settings.model_dump_json(), **backbone}

    @classmethod
    def from_safetensors(cls, tensors: dict[str, Tensor], header: dict[str, str]) -> Self:
        """The inverse of `to_safetensors`.

        Raises:
            InputError: The file is no adapter of this project.
        """
        if "settings" not in header:
            raise InputError("the file is no adapter that pipeline lora wrote")
        prefix = "backbone."
        backbone = {
            key.removeprefix(prefix): value
            for key, value in header.items()
            if key.startswith(prefix)
        }
        try:
            settings = AdapterSettings.model_validate_json(header["settings"])
        except ValueError as error:
            raise InputError("the adapter's file has a damaged header; train it again") from error
        if settings.rank < 1:
            raise InputError("the adapter's file says rank 0, which is none; train it again")
        return cls(settings, backbone, tensors)


def named_adapter(adapters: Loaders[Adapter], name: str | None) -> Adapter | None:
    """The adapter that `image_features.backbone.adapter` names.

    Raises:
        InputError: There is none of that name.
    """
    if name is None:
        return None
    if name not in adapters:
        raise InputError(
            f"there is no adapter {name}; there are: {example_of(sorted(adapters)) or 'none'}. "
            f"Train one: kedro run --pipeline lora --params lora.name:{name}"
        )
    return adapters[name]()


def add_adapter(backbone: ImageBackbone, settings: AdapterSettings) -> None:
    """Put a new adapter on: it changes nothing until it is trained (B is 0).

    Raises:
        InputError: A module's name is that of no layer.
    """
    peft = _peft()
    _refuse_unknown_modules(backbone.model, settings.modules)
    config = peft.LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,
        lora_dropout=settings.dropout,
        target_modules=list(settings.modules),
    )
    peft.inject_adapter_in_model(config, backbone.model)
    for name, parameter in backbone.model.named_parameters():
        parameter.requires_grad_("lora_" in name)
        if "lora_" in name:
            parameter.data = parameter.data.float()
    backbone.model.eval()


def adapter_of(backbone: ImageBackbone, settings: AdapterSettings) -> Adapter:
    """The adapter as it is now."""
    weights = {
        _saved_name(name): parameter.detach().cpu().clone().contiguous()
        for name, parameter in backbone.model.named_parameters()
        if "lora_" in name
    }
    return Adapter(settings, dict(backbone.identity), weights)


def put_on(backbone: ImageBackbone, adapter: Adapter, *, name: str = "") -> None:
    """Put a trained adapter on; the backbone's identity then holds its digest.

    Raises:
        InputError: It was trained for another backbone.
    """
    differing = differences(backbone.identity, adapter.backbone)
    if differing:
        raise InputError(
            f"the adapter {name} was trained for another backbone ({'; '.join(differing)}); take "
            "that one, or train an adapter for this one: kedro run --pipeline lora"
        )
    add_adapter(backbone, adapter.settings)
    own = {
        _saved_name(name): parameter
        for name, parameter in backbone.model.named_parameters()
        if "lora_" in name
    }
    if {k: v.shape for k, v in own.items()} != {k: v.shape for k, v in adapter.weights.items()}:
        raise InputError(f"the adapter {name} does not fit the backbone's layers; train it again")
    with torch.no_grad():
        for key, parameter in own.items():
            parameter.copy_(adapter.weights[key])
    backbone.requires_grad_(requires_grad=False)
    backbone.identity = backbone.identity | {"adapter": adapter.digest}


def merge(model: nn.Module) -> None:
    """Add the adapter to the weights it belongs to: a plain model that needs no peft."""
    from peft.tuners.lora import LoraLayer

    for name, layer in list(model.named_modules()):
        if isinstance(layer, LoraLayer):
            layer.merge()
            parent, _, last = name.rpartition(".")
            setattr(model.get_submodule(parent), last, layer.get_base_layer())


def dropouts_of(backbone: ImageBackbone) -> Iterator[nn.Module]:
    """The adapter's own dropout layers: all of the backbone that has a training mode."""
    for name, module in backbone.model.named_modules():
        if name.endswith("lora_dropout.default"):
            yield module


def _saved_name(name: str) -> str:
    return name.replace(".default.", ".")


def _refuse_unknown_modules(model: nn.Module, modules: Names) -> None:
    """Refuse a name of no layer; peft passes it over where another one fits."""
    layers = {n.rpartition(".")[2] for n, m in model.named_modules() if isinstance(m, nn.Linear)}
    unknown = [name for name in modules if name not in layers]
    if unknown:
        raise InputError(
            f"lora.modules names {example_of(unknown)}, which the backbone "
            f"{type(model).__name__} does not have; its linear layers are called "
            f"{', '.join(sorted(layers))}"
        )


def _peft() -> Any:
    try:
        import peft
    except ImportError as error:
        raise InputError(
            "adapters need the package peft, which is not installed: pip install 'morphoclip[lora]'"
        ) from error
    return peft
