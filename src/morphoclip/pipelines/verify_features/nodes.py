"""Verification nodes: what is stored, plate by plate; and whether that is all."""

import logging
from typing import Any

import pandas as pd

from morphoclip.backbones.adapter import Adapter, named_adapter
from morphoclip.features.config import ImageFeaturesConfig
from morphoclip.features.site_files import sites_of_plates
from morphoclip.features.verify import check_plates, require_complete
from morphoclip.gallery.source import IngestionConfig
from morphoclip.loaders import Loaders

logger = logging.getLogger(__name__)


def check_features(  # noqa: PLR0913 - one argument per catalog entry
    site_index: pd.DataFrame,
    set_aside_sites: pd.DataFrame,
    existing_features: Loaders[Any],
    existing_records: Loaders[Any],
    existing_plates: Loaders[Any],
    adapters: Loaders[Adapter],
    ingestion: IngestionConfig,
    config: ImageFeaturesConfig,
) -> pd.DataFrame:
    """Expected, present, missing, damaged and stale features of each plate."""
    check = check_plates(
        sites_of_plates(site_index, ingestion.barcodes),
        set_aside_sites,
        existing_features,
        existing_records,
        existing_plates,
        config,
        named_adapter(adapters, config.backbone.adapter),
    )
    logger.info("\n%s", check.drop(columns="example").to_string(index=False))
    return check


def require_complete_features(feature_check: pd.DataFrame) -> None:
    """End with a sentence and a non-zero exit status where something is missing."""
    require_complete(feature_check)
