"""Import nodes: per-site files of the reference implementation to packed plates."""

from collections.abc import Iterator
from typing import Any

from morphoclip.features.config import ImageFeaturesConfig
from morphoclip.features.imported import ImportConfig, pack_imported
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.loaders import Loaders


def import_sites(
    imported_sites: Loaders[Any],
    config: ImportConfig,
    image_features: ImageFeaturesConfig,
) -> Iterator[dict[str, PlateFeatures]]:
    """One packed plate after the other."""
    for features in pack_imported(imported_sites, image_features.channels, config):
        yield {features.plate: features}
