"""Demo nodes: a synthetic gallery, tables first, then images."""

from collections.abc import Iterator

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morphoclip.gallery.source import IngestionConfig
from morphoclip.gallery.synthetic import GalleryTables, gallery_tables, render_wells
from morphoclip.gallery.synthetic_config import SyntheticConfig
from morphoclip.progress import watched


def make_tables(config: SyntheticConfig, ingestion: IngestionConfig) -> GalleryTables:
    """Platemaps, JUMP-Target tables, conditions, annotations, and the truth."""
    return gallery_tables(config, ingestion.source.batch)


def render_plates(
    config: SyntheticConfig, truth: pd.DataFrame
) -> Iterator[dict[str, dict[str, NDArray[np.uint16]]]]:
    """Images of the planted phenotypes, one well at a time."""
    total = 3 * config.plates_per_modality * (len(truth) // 3 + config.negcon_wells)
    wells = render_wells(config, truth)
    for folder, images in watched(wells, "rendering wells", total=total):
        yield {folder: images}
