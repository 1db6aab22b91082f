"""A vision transformer that transformers' ``AutoModel`` loads, by hub id or folder.

transformers is imported where a model is loaded: it takes seconds, which commands that load none
should not wait for.
"""

import inspect
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from morphoclip.backbone_identity import identity_of
from morphoclip.backbones.config import ImageBackboneConfig
from morphoclip.backbones.image.base import LoadedModel
from morphoclip.errors import InputError, example_of

Statistics = tuple[tuple[float, ...], tuple[float, ...]]

_UNUSED = ("pooler.",)
"""Layers behind the CLS token, which may be missing from a checkpoint."""


def pretrained(config: ImageBackboneConfig, n_channels: int) -> LoadedModel:
    """Load by id or folder.

    Raises:
        InputError: The model cannot be had, or its checkpoint or its architecture lacks something.
    """
    from safetensors import SafetensorError
    from transformers import AutoModel

    model_id, revision = config.required_model_id, config.revision
    try:
        model, loading = AutoModel.from_pretrained(
            model_id,
            revision=revision,
            attn_implementation="sdpa",
            dtype=torch.float32,
            output_loading_info=True,
        )
    except (OSError, ValueError, RuntimeError, SafetensorError) as error:
        raise explain_unavailable(model_id, "image backbone", error) from error
    _refuse_incomplete(model_id, model, loading)
    _refuse_without_cls(model_id, model)
    if config.input == "multi_channel" and model.config.num_channels != n_channels:
        raise InputError(
            f"the image backbone {model_id} takes {model.config.num_channels} channels at once and "
            f"image_features.channels names {n_channels}; take input per_channel, or another model"
        )
    if getattr(model.config, "mask_ratio", 0):
        model.config.mask_ratio = 0.0  # a masked autoencoder sees the whole image here
    mean, sd = colour_statistics(config, model_id, default=None)
    return LoadedModel(
        model=model,
        token=cls_token,
        feature_dim=int(model.config.hidden_size),
        patch=patch_of(model),
        mean=mean,
        sd=sd,
        identity=identity_of(model_id, model),
    )


def cls_token(model: Any, images: Tensor) -> Tensor:
    """The first token of the last layer, after the model's own final norm where it has one.

    Not the "pooler output": of a plain ViT that is another, often untrained, tanh layer.
    """
    options = {}
    if _has_fixed_positions(model) and images.shape[-1] != _side(model.config.image_size):
        options = {"interpolate_pos_encoding": True}
    token: Tensor = model(pixel_values=images, **options).last_hidden_state[:, 0]
    return token


def _has_fixed_positions(model: Any) -> bool:
    return "interpolate_pos_encoding" in inspect.signature(model.forward).parameters


def _side(size: Any) -> int:
    return int(size if isinstance(size, int) else size[0])


def patch_of(model: Any) -> int:
    """Pixels per side of a patch."""
    return _side(model.config.patch_size)


def colour_statistics(
    config: ImageBackboneConfig, model_id: str | None, default: Statistics | None
) -> Statistics:
    """Mean and standard deviation of the colours that the model expects.

    `backbone.mean` and `backbone.sd`, else the model's ``preprocessor_config.json``.

    Raises:
        InputError: Neither is there.
    """
    if config.mean is not None and config.sd is not None:
        return config.mean, config.sd
    from transformers.image_processing_base import ImageProcessingMixin

    assert model_id is not None
    try:
        found, _ = ImageProcessingMixin.get_image_processor_dict(model_id, revision=config.revision)
        return tuple(found["image_mean"]), tuple(found["image_std"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        if default is not None:
            return default
        name = Path(model_id).name if Path(model_id).is_dir() else model_id
        raise InputError(
            f"the image backbone {name} has no preprocessor_config.json with image_mean and "
            "image_std: copy that file next to the weights, or say what the model expects, for "
            "ImageNet's --params image_features.backbone.mean:0.485+0.456+0.406,"
            "image_features.backbone.sd:0.229+0.224+0.225"
        ) from error


def explain_unavailable(model_id: str, what: str, error: Exception) -> InputError:
    """What to do about a gated, missing or unreadable model."""
    lines = str(error).strip().splitlines()
    cause = lines[0] if lines else type(error).__name__
    if Path(model_id).is_absolute() and not Path(model_id).exists():
        return InputError(f"the {what}'s folder {Path(model_id).name} does not exist")
    if Path(model_id).is_dir():
        return InputError(
            f"the {what} in the folder {Path(model_id).name} cannot be loaded ({cause}); it needs "
            "config.json and model.safetensors, as transformers' save_pretrained writes them"
        )
    return InputError(
        f"the {what} {model_id} cannot be loaded ({cause}). To get it: ask for access at "
        f"https://huggingface.co/{model_id}, make a token with read access at "
        "https://huggingface.co/settings/tokens, and put it into .env as HF_TOKEN=hf_...; on a "
        f"machine without internet, give the folder of a downloaded copy as {what}'s model_id"
    )


def _refuse_incomplete(model_id: str, model: Any, loading: dict[str, Any]) -> None:
    """Refuse a checkpoint that leaves layers at random, or has more of them than the model."""
    missing = sorted(key for key in loading["missing_keys"] if not _is_unused(key))
    name = Path(model_id).name if Path(model_id).is_dir() else model_id
    if missing:
        raise InputError(
            f"the checkpoint of the image backbone {name} lacks {len(missing)} of the model's "
            f"{len(model.state_dict())} weights, e.g. {example_of(missing)}; they would be random. "
            "Check that the download is whole and that config.json belongs to it"
        )
    own = {_without_numbers(key) for key in model.state_dict()}
    extra = [key for key in loading["unexpected_keys"] if _without_numbers(key) in own]
    if extra:
        raise InputError(
            f"the checkpoint of the image backbone {name} has {len(extra)} weights of layers that "
            f"config.json does not name, e.g. {example_of(sorted(extra))}; check that config.json "
            "belongs to it"
        )


def _is_unused(key: str) -> bool:
    return key.startswith(_UNUSED) or f".{_UNUSED[0]}" in key


def _without_numbers(key: str) -> str:
    return re.sub(r"\.\d+\.", ".N.", key)


def _refuse_without_cls(model_id: str, model: Any) -> None:
    names: Iterable[str] = (name.rsplit(".", 1)[-1] for name, _ in model.named_parameters())
    if not {"cls_token", "class_embedding", "class_token"} & set(names):
        raise InputError(
            f"the image backbone {Path(model_id).name} ({type(model).__name__}) has no CLS token; "
            "choose a ViT that has one, such as DINOv3, DINOv2 or ViT"
        )
