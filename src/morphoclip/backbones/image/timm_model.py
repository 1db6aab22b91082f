"""A vision transformer by its timm name, where timm is installed.

Ungated copies of DINOv3 (``vit_large_patch16_dinov3.lvd1689m``), models pretrained as masked
autoencoders, and models for several channels at once.
"""

from pathlib import Path
from typing import Any

from torch import Tensor

from morphoclip.backbone_identity import weights_digest
from morphoclip.backbones.config import ImageBackboneConfig
from morphoclip.backbones.image.base import LoadedModel
from morphoclip.errors import InputError


def pretrained_by_timm(config: ImageBackboneConfig, n_channels: int) -> LoadedModel:
    """Load by timm's name, ``hf-hub:<id>``, or ``local-dir:<folder>``.

    For ``multi_channel`` timm repeats and rescales the pretrained first layer over the channels.

    Raises:
        InputError: timm is not installed, or the model cannot be had or has no CLS token.
    """
    timm = _timm()
    name = config.required_model_id
    channels = n_channels if config.input == "multi_channel" else 3
    try:
        model = timm.create_model(
            name, pretrained=True, num_classes=0, in_chans=channels, dynamic_img_size=True
        )
    except (RuntimeError, OSError, ValueError, KeyError, TypeError) as error:
        cause = str(error).strip().splitlines()[0]
        raise InputError(
            f"timm cannot load {Path(name).name} ({cause}): python -c 'import timm; "
            "print(timm.list_pretrained())' lists its names; a model of the hub is hf-hub:<id>"
        ) from error
    if getattr(model, "cls_token", None) is None:
        raise InputError(
            f"timm's {Path(name).name} has no CLS token; choose a ViT that has one, such as "
            "vit_large_patch16_dinov3.lvd1689m"
        )
    published = timm.data.resolve_model_data_config(model)
    mean, sd = config.mean or published["mean"], config.sd or published["std"]
    if config.input == "multi_channel" and len(mean) != n_channels:
        mean, sd = ((sum(colours) / len(colours),) * n_channels for colours in (mean, sd))
    patch = model.patch_embed.patch_size
    return LoadedModel(
        model=model,
        token=_first_token,
        feature_dim=int(model.num_features),
        patch=int(patch if isinstance(patch, int) else patch[0]),
        mean=tuple(mean),
        sd=tuple(sd),
        identity={"model": config.name, "weights": weights_digest(model)},
    )


def _first_token(model: Any, images: Tensor) -> Tensor:
    """The CLS token after the final norm."""
    token: Tensor = model.forward_features(images)[:, 0]
    return token


def _timm() -> Any:
    try:
        import timm
        import timm.data
    except ImportError as error:
        raise InputError(
            "image_features.backbone.kind timm needs the package timm, which is not installed: "
            "pip install timm, with a torchvision that belongs to the installed torch"
        ) from error
    return timm
