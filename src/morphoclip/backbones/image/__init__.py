"""Vision backbones by `image_features.backbone.kind`: one module per kind, one protocol.

To add a kind, write a module with a function of `ImageBackboneConfig` and the number of channels
that gives a `LoadedModel`, and name it in `load_image_backbone` and in the config's ``kind``.
"""

from typing import assert_never

from morphoclip.backbones.config import ImageBackboneConfig
from morphoclip.backbones.image.base import DTYPES, ImageBackbone, LoadedModel
from morphoclip.backbones.image.first_layer import fold_to_one_channel
from morphoclip.errors import InputError

__all__ = ["ImageBackbone", "LoadedModel", "load_image_backbone", "load_model"]


def load_image_backbone(config: ImageBackboneConfig, n_channels: int) -> ImageBackbone:
    """Load and freeze; for single channels the three-channel first layer is folded to take one.

    Args:
        config: What to load.
        n_channels: C, which a ``multi_channel`` backbone has to take.

    Raises:
        InputError: The model is gated, missing, incomplete, or of the wrong kind.
    """
    loaded = load_model(config, n_channels)
    expected = n_channels if config.input == "multi_channel" else 3
    if not len(loaded.mean) == len(loaded.sd) == expected:
        raise InputError(
            f"the image backbone takes {expected} "
            f"{'channels' if config.input == 'multi_channel' else 'colours'} and has "
            f"{len(loaded.mean)} mean(s) and {len(loaded.sd)} sd(s); give as many in "
            "image_features.backbone.mean and sd"
        )
    match config.input:
        case "per_channel":
            fold_to_one_channel(loaded.model, loaded.mean, loaded.sd)
        case "multi_channel":
            if config.adapter is not None:
                raise InputError("image_features.backbone.adapter goes with input per_channel only")
        case _:
            assert_never(config.input)
    return ImageBackbone(loaded, config.input, DTYPES[config.dtype])


def load_model(config: ImageBackboneConfig, n_channels: int) -> LoadedModel:
    """The model as it is published, before its first layer is folded.

    Raises:
        InputError: As `load_image_backbone` does.
    """
    match config.kind:
        case "transformers":
            from morphoclip.backbones.image.transformers_model import pretrained

            return pretrained(config, n_channels)
        case "timm":
            from morphoclip.backbones.image.timm_model import pretrained_by_timm

            return pretrained_by_timm(config, n_channels)
        case "untrained":
            from morphoclip.backbones.image.untrained import untrained

            return untrained(config, n_channels)
        case _:
            assert_never(config.kind)
