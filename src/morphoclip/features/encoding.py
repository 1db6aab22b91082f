"""Sites of a plate to features, and to what is kept of them."""

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import Any

import pandas as pd
import torch

from morphoclip.backbones.adapter import Adapter, put_on
from morphoclip.backbones.image import ImageBackbone, load_image_backbone
from morphoclip.columns import CHANNEL
from morphoclip.features.config import ImageFeaturesConfig
from morphoclip.features.extract import (
    SiteBatch,
    extract_features,
    fingerprint_of,
    require_memory,
)
from morphoclip.features.site_files import site_key
from morphoclip.features.site_qc import qc_parts, qc_rows
from morphoclip.fingerprint import Fingerprint
from morphoclip.imaging.grey_levels import range_of
from morphoclip.imaging.preprocess import SiteImages, prepare_sites

Chunk = dict[str, dict[str, Any]]
"""What is saved at a time: entry -> name of a file -> what it holds."""


def chunk_of(**entries: dict[str, Any]) -> Chunk:
    """A chunk with these entries, and nothing for the others."""
    names = ("intensities", "records", "site_qc", "thumbnails", "features", "tensors", "packed")
    return {name: entries.get(name, {}) for name in names}


class Encoder:
    """A backbone, loaded when it is first needed, and what it makes of sites.

    Args:
        config: `params:image_features`.
        adapter: An adapter that is put on the backbone, or None.
        device: Where it runs.
    """

    def __init__(self, config: ImageFeaturesConfig, adapter: Adapter | None, device: str) -> None:
        self.config, self.device = config, device
        self._adapter = adapter

    @cached_property
    def backbone(self) -> ImageBackbone:
        """The backbone.

        Raises:
            InputError: It does not take images of this size, or does not fit into memory.
        """
        backbone = load_image_backbone(self.config.backbone, len(self.config.channels))
        backbone.check_size(self.config.preprocess.size)
        require_memory(backbone, self.config, self.device)
        if self._adapter is not None:
            put_on(backbone, self._adapter, name=str(self.config.backbone.adapter))
        return backbone

    @cached_property
    def fingerprint(self) -> Fingerprint:
        """What features are made with."""
        return fingerprint_of(self.backbone, self.config)

    def encode(self, sites: Sequence[SiteImages], levels: pd.DataFrame) -> Iterator[SiteBatch]:
        """Features of a plate's sites, a batch at a time.

        Args:
            sites: The sites.
            levels: Grey levels of the plate's channels.
        """
        if not sites:
            return
        ranges = {row[CHANNEL]: range_of(row) for row in levels.to_dict("records")}
        prepared = prepare_sites(
            sites,
            {sites[0].plate: ranges},
            self.config.preprocess,
            ahead=2 * self.config.batch_size,
        )
        yield from extract_features(
            prepared, self.backbone, batch_size=self.config.batch_size, device=self.device
        )

    def chunk(self, batch: SiteBatch) -> Chunk:
        """What is saved of a batch: features, QC, small pictures, and tensors where asked for."""
        keys = [key_of(site.images) for site in batch.usable]
        sites = list(zip(keys, batch.usable, strict=True))
        return chunk_of(
            site_qc=qc_parts(qc_rows(batch.sites)),
            thumbnails={key: s.thumbnail for key, s in sites if s.thumbnail is not None},
            features=dict(zip(keys, batch.features, strict=True)),
            tensors={
                key: torch.from_numpy(site.pixels).to(torch.float16)
                for key, site in sites
                if self.config.save_tensors and site.pixels is not None
            },
        )


def key_of(images: SiteImages) -> str:
    """Where a site's files lie below their folder."""
    return site_key(images.plate, images.well, images.site)
