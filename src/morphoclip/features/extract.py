"""Sites in, batches of site features out."""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace
from itertools import islice

import numpy as np
import torch
from torch import Tensor

from morphoclip.backbones.adapter import Adapter
from morphoclip.backbones.image import ImageBackbone
from morphoclip.device import available_memory
from morphoclip.errors import InputError
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


def require_memory(backbone: ImageBackbone, config: ImageFeaturesConfig, device: str) -> None:
    """Estimate what extraction holds at once, and refuse more than there is.

    Held are the sites that are read ahead and one batch in the model: on the CPU a token of a ViT
    takes about twelve times its width while a layer works on it.

    Raises:
        InputError: With the estimate, what there is, and a batch that fits.
    """
    size, patch = config.preprocess.size, backbone.patch
    n_channels, workers = len(config.channels), config.preprocess.n_workers
    site = n_channels * size**2 * 4
    tokens = config.n_tokens * ((size // patch) ** 2 + 1)
    in_model = tokens * backbone.feature_dim * 12 * 4 if device == "cpu" else 0
    free = available_memory()

    def needed(batch: int) -> int:
        return max(2 * batch, 2 * workers) * site + batch * (2 * site + in_model)

    if needed(config.batch_size) <= free:
        return
    batch = config.batch_size
    while batch > 1 and needed(batch) > 0.7 * free:
        batch //= 2
    remedy = (
        f"set image_features.batch_size to {batch}"
        if needed(batch) <= free
        else "choose a smaller image_features.preprocess.size, or fewer preprocess.workers"
    )
    raise InputError(
        f"images of {size} x {size} pixels in batches of {config.batch_size} sites take about "
        f"{needed(config.batch_size) / 1e9:.1f} GB of memory, and {free / 1e9:.1f} GB are free: "
        f"{remedy}"
    )


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
    try:
        images = images.to(device, non_blocking=True)
        return [site.clone() for site in backbone(images).cpu()]
    except torch.OutOfMemoryError as error:
        raise InputError(
            f"{len(pixels)} sites at once do not fit into the memory of {device}: set a smaller "
            "image_features.batch_size; what is extracted stays"
        ) from error
