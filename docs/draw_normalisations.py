"""Draw one real site under three normalisations: ``MORPHOCLIP_TEST_DATA=... python docs/...``."""

import os
from pathlib import Path

from matplotlib.figure import Figure

from morphoclip.imaging.config import Normalisation
from morphoclip.imaging.grey_levels import GreyRange, grey_map, plate_levels
from morphoclip.imaging.preprocess import resize_plane
from morphoclip.imaging.tiff import decode_plane

CHANNELS = {"MITO": 1, "AGP": 2, "RNA": 3, "ER": 5, "DNA": 4}
SHOWN = (Normalisation.UINT16, Normalisation.PLATE_PERCENTILE, Normalisation.SELF_STANDARDISE)
OUTPUT = Path(__file__).parent / "images" / "normalisations.png"


def main() -> None:
    """One row a normalisation, one column a channel, grey from 0 to 1."""
    site = Path(os.environ["MORPHOCLIP_TEST_DATA"]) / "real_site" / "Images"
    figure = Figure(figsize=(9, 5.6), layout="constrained")
    grid = figure.subplots(len(SHOWN), len(CHANNELS))
    for column, (channel, number) in enumerate(CHANNELS.items()):
        plane = decode_plane((site / f"r01c02f01p01-ch{number}sk1fk1fl1.tiff").read_bytes())
        levels = plate_levels([plane])
        plate_range = GreyRange(levels["p0_1"], levels["p99_9"])
        for row, normalisation in enumerate(SHOWN):
            shown = resize_plane(plane, grey_map(plane, normalisation, plate_range), 384, "area")
            axes = grid[row, column]
            axes.imshow(shown, cmap="gray", vmin=0, vmax=1)
            axes.set(xticks=[], yticks=[])
            if row == 0:
                axes.set_title(channel, fontsize=10)
            if column == 0:
                axes.set_ylabel(str(normalisation), fontsize=9)
    figure.savefig(OUTPUT, dpi=72)


if __name__ == "__main__":
    main()
