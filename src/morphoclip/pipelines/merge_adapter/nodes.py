"""Merging node: a backbone and its adapter to a plain model that needs no peft."""

import logging

from morphoclip.backbones.adapter import Adapter, merge, named_adapter, put_on
from morphoclip.backbones.image import ImageBackbone, LoadedModel, load_model
from morphoclip.backbones.image.base import DTYPES
from morphoclip.errors import InputError
from morphoclip.features.config import ImageFeaturesConfig
from morphoclip.loaders import Loaders

logger = logging.getLogger(__name__)


def merge_adapter(
    adapters: Loaders[Adapter], features: ImageFeaturesConfig
) -> dict[str, LoadedModel]:
    """The backbone as published, with three colours, plus its adapter; by the adapter's name.

    Raises:
        InputError: No adapter is named, or the backbone is not of transformers.
    """
    config = features.backbone
    adapter = named_adapter(adapters, config.adapter)
    if adapter is None or config.adapter is None:
        raise InputError(
            "name the adapter to merge: --params image_features.backbone.adapter:<name>; there "
            f"are: {', '.join(sorted(adapters)) or 'none'}"
        )
    if config.kind == "timm":
        raise InputError("merge_adapter writes transformers' format, which a timm model has not")
    loaded = load_model(config, len(features.channels))
    put_on(ImageBackbone(loaded, config.input, DTYPES["float32"]), adapter, name=config.adapter)
    merge(loaded.model)
    logger.info(
        "adapter %s merged into %s, in the folder 06_models/merged/%s of the data; to extract with "
        "it: kedro run --pipeline image_features --params image_features.name:%s-merged,"
        "image_features.backbone.kind:transformers,image_features.backbone.untrained:,"
        "image_features.backbone.model_id:<that folder>",
        config.adapter,
        config.name,
        *[config.adapter] * 2,
    )
    return {config.adapter: loaded}
