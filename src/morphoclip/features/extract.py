"""Sites in, batches of site features out."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from morphoclip.backbones.adapter import Adapter
from morphoclip.backbones.image import ImageBackbone
from morphoclip.features.config import ImageFeaturesConfig
from morphoclip.fingerprint import Fingerprint
from morphoclip.imaging.preprocess import PreparedSite
from morphoclip.imaging.tiff import UnusablePlane


@dataclass(frozen=True)
class SiteBatch:
    """Some sites and, for those that could be used, their features.

    ``features`` holds one separate ``(T, D)`` float32 tensor per usable site, in order.
    """

    sites: list[PreparedSite]
    features: list[Tensor]

    @property
    def usable(self) -> list[PreparedSite]:
        """The sites that ``features`` belong to."""
        return [site for site in self.sites if site.pixels is not None]


def fingerprint_of(backbone: ImageBackbone, config: ImageFeaturesConfig) -> Fingerprint:
    """Everything that changes a site's features."""
    return backbone.identity | settings_of(config)


def named_settings(config: ImageFeaturesConfig, adapter: Adapter | None = None) -> Fingerprint:
    """The part of the fingerprint that is known before a model is loaded, its name included."""
    of_adapter = {"adapter": adapter.digest} if adapter else {}
    return {"model": config.backbone.name} | settings_of(config) | of_adapter


def settings_of(config: ImageFeaturesConfig) -> Fingerprint:
    """The part of the fingerprint that the parameters say without loading a model."""
    channels = "+".join(f"{name}={number}" for name, number in config.channels.items())
    settings = {
        "channels": channels,
        "normalise": str(config.preprocess.normalise),
        "size": str(config.preprocess.size),
        "resize": config.preprocess.resize,
        "illumination": config.preprocess.illumination,
        "dtype": config.backbone.dtype,
    }
    backbone = config.backbone  # what is not usual is named; the usual stays unnamed
    if backbone.input != "per_channel":
        settings["input"] = backbone.input
    if backbone.mean is not None:
        settings |= {"mean": str(backbone.mean), "sd": str(backbone.sd)}
    if config.preprocess.pixel_size is not None:
        settings["pixel_size"] = f"{config.preprocess.pixel_size:g}"
    if config.preprocess.resample:
        settings["field"] = f"{config.preprocess.field:g}"
    return settings


def extract_features(
    prepared: Iterable[PreparedSite], backbone: ImageBackbone, *, batch_size: int, device: str
) -> Iterator[SiteBatch]:
    """Run the backbone over prepared sites, ``batch_size`` at a time.

    Each site's features are a tensor of its own: a saved slice would carry the whole batch.
    """
    backbone = backbone.to(device)
    stream = iter(prepared)
    while sites := list(islice(stream, batch_size)):
        pixels = [site.pixels for site in sites if site.pixels is not None]
        features = _features(np.stack(pixels), backbone, device) if pixels else []
        yield _without_infinite(SiteBatch(sites, features))


def _without_infinite(batch: SiteBatch) -> SiteBatch:
    """Set sites aside whose features half precision cannot hold."""
    finite = [bool(torch.isfinite(tokens.half()).all()) for tokens in batch.features]
    if all(finite):
        return batch
    good = {id(site) for site, ok in zip(batch.usable, finite, strict=True) if ok}
    finding = UnusablePlane("not_finite", "the backbone's features are not finite")
    sites = [
        site
        if site.pixels is None or id(site) in good
        else replace(site, pixels=None, unusable=dict.fromkeys(site.images.files, finding))
        for site in batch.sites
    ]
    features = [tokens for tokens, ok in zip(batch.features, finite, strict=True) if ok]
    return SiteBatch(sites, features)


@torch.inference_mode()
def _features(pixels: np.ndarray, backbone: ImageBackbone, device: str) -> list[Tensor]:
    images = torch.from_numpy(pixels)
    if device.startswith("cuda"):
        images = images.pin_memory()
    images = images.to(device, non_blocking=True)
    return [site.clone() for site in backbone(images).cpu()]
