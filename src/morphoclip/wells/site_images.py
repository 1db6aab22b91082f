"""Wells whose images are read anew in every step, for backbones that are trained."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import partial
from itertools import repeat
from typing import Self

import numpy as np
import pandas as pd
import torch
from torch import Tensor

from morphoclip.columns import PLATE, WELL
from morphoclip.errors import InputError, example_of
from morphoclip.features.plate_features import PlateFeatures
from morphoclip.features.site_files import site_key
from morphoclip.loaders import Loaders
from morphoclip.wells.ahead import Take
from morphoclip.wells.assemble import Wells
from morphoclip.wells.batch import WellBatch, rows_of_wells


@dataclass(frozen=True)
class ImageBatch(WellBatch):
    """Images of the sites of B wells; ``tokens`` holds them, ``(S, C, H, W)`` in [0, 1].

    Attributes:
        plates: Code of each well's plate, ``(B,)``.
    """

    plates: Tensor


@dataclass(frozen=True)
class ImagedWells(Wells):
    """Wells with their stored images beside the frozen tokens.

    Attributes:
        images: A function that reads each site's ``(C, H, W)`` images, in the order of the sites.
        plates: Code of each well's plate, ``(B,)``, by the order of barcodes.
    """

    images: tuple[Callable[[], Tensor], ...]
    plates: Tensor

    def batch(self, rows: Tensor, device: str, kept: Tensor | None = None) -> ImageBatch:
        """Images of these wells ``(B',)``, read from disk, on the device."""
        rows = rows.cpu()
        sites, offsets = rows_of_wells(self.sites.offsets.cpu(), rows, kept)
        shape = self.images[0]().shape if not len(sites) else ()  # of processes without a well
        read = [self.images[site]() for site in sites.tolist()]
        images = torch.stack(read).float() if read else torch.empty((0, *shape))
        return ImageBatch(images.to(device), offsets.to(device), self.plates[rows].to(device))

    def ahead(self, batches: Sequence[Tensor], kept: Tensor | None = None) -> Iterator[Take]:
        """`batch` of one batch after the other; images are read a micro-batch at a time."""
        return repeat(partial(self.batch, kept=kept), len(batches))

    def select(self, rows: Tensor) -> Self:
        """These wells, with the prompts that describe them and no others."""
        sites, _ = rows_of_wells(self.sites.offsets.cpu(), rows.cpu())
        images = tuple(self.images[site] for site in sites.tolist())
        return replace(super().select(rows), images=images, plates=self.plates[rows.cpu()])


def with_images(
    wells: Wells, plate_features: Loaders[PlateFeatures], site_tensors: Loaders[Tensor]
) -> ImagedWells:
    """Find the stored images of every site that has features.

    Raises:
        InputError: A site has none.
    """
    keys: list[str] = []
    for plate, table in wells.table.groupby(PLATE, sort=False):
        sites = plate_features[plate]().sites
        numbers = sites.sort_values("Metadata_Site").groupby(WELL)["Metadata_Site"].agg(list)
        keys += [site_key(plate, well, n) for well in table[WELL] for n in numbers[well]]
    absent = [key for key in keys if key not in site_tensors]
    if absent:
        raise InputError(
            f"{len(absent)} of {len(keys)} sites have no stored images: {example_of(absent)}; run "
            "kedro run --pipeline image_features --params image_features.save_tensors:true, with "
            "the name and the parameters of this feature set"
        )
    codes, _ = pd.factorize(wells.table[PLATE], sort=True)
    return ImagedWells(
        **vars(wells),
        images=tuple(site_tensors[key] for key in keys),
        plates=torch.from_numpy(codes.astype(np.int64)),
    )
