"""Node that reads from a packed model how images have to be turned into features."""

from morphoclip.backbones.adapter import Adapter
from morphoclip.bundle.demands import EmbedPlatesConfig, chosen_bundle, demanded_image_features
from morphoclip.features.config import ImageFeaturesConfig
from morphoclip.loaders import Loaders, OnDemand


def demand_image_features(
    bundle: OnDemand, images: ImageFeaturesConfig, config: EmbedPlatesConfig
) -> tuple[ImageFeaturesConfig, Loaders[Adapter]]:
    """How these images have to be turned into features for the model, and its adapter.

    Raises:
        InputError: There is no bundle, or the images have other channels or another pixel size.
    """
    found = chosen_bundle(bundle, config)
    return demanded_image_features(found, images), found.adapters
