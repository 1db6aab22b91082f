"""Draw the README's picture of the flow: ``python docs/draw_flow.py``."""

from itertools import pairwise
from pathlib import Path

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import FancyArrowPatch, FancyBboxPatch

OUTPUT = Path(__file__).parent / "images" / "flow.png"
FROZEN, TRAINED, DATA = "#dfe6f0", "#3b5b92", "#f4f1ea"


def box(axes: Axes, centre: tuple[float, float], text: str, colour: str, width: float) -> None:
    """A rounded box."""
    x, y = centre
    shape = FancyBboxPatch(
        (x - width / 2, y - 0.3), width, 0.6, boxstyle="round,pad=0.02,rounding_size=0.08",
        facecolor=colour, edgecolor="#9aa5b5", linewidth=0.8,
    )  # fmt: skip
    axes.add_patch(shape)
    ink = "white" if colour == TRAINED else "#1d2733"
    axes.text(x, y, text, ha="center", va="center", fontsize=8.2, color=ink, linespacing=1.25)


def arrow(axes: Axes, start: tuple[float, float], end: tuple[float, float]) -> None:
    """From one box to the next."""
    axes.add_patch(
        FancyArrowPatch(start, end, arrowstyle="-|>", mutation_scale=9, color="#5d6b7a", lw=1)
    )


def main() -> None:
    """Two rows that meet: images above, texts below."""
    figure = Figure(figsize=(9.6, 3.0))
    axes = figure.add_axes((0, 0, 1, 1))
    axes.set(xlim=(0, 11.2), ylim=(0, 3.5))
    axes.axis("off")
    above = [
        (1.0, "five images per site\n(TIFF, 16 bits)", DATA),
        (3.0, "grey levels of the plate,\nresize to 384", DATA),
        (5.0, "DINOv3, frozen:\none token per channel", FROZEN),
        (7.0, "CrossChannelFormer,\nmean over sites", TRAINED),
    ]
    below = [
        (1.0, "treatments\n(JUMP-Target tables)", DATA),
        (3.0, "one prompt\nper treatment", DATA),
        (5.0, "ModernBERT, frozen:\none token per prompt", FROZEN),
        (7.0, "projection", TRAINED),
    ]
    for y, row in ((2.7, above), (0.8, below)):
        for x, text, colour in row:
            box(axes, (x, y), text, colour, 1.62)
        for (x, *_), (following, *_) in pairwise(row):
            arrow(axes, (x + 0.85, y), (following - 0.85, y))
    box(axes, (8.9, 1.75), "512 dimensions:\nwells beside their texts", TRAINED, 1.75)
    arrow(axes, (7.86, 2.6), (8.6, 2.1))
    arrow(axes, (7.86, 0.9), (8.6, 1.4))
    answers = {2.05: "what was done?", 1.75: "what is similar?", 1.45: "which gene?"}
    for y, answer in answers.items():
        axes.text(9.9, y, answer, fontsize=8, va="center", color="#3b5b92")
    axes.text(0.2, 3.3, "ingestion", fontsize=7.5, color="#8b95a3")
    axes.text(2.2, 3.3, "image_features", fontsize=7.5, color="#8b95a3")
    axes.text(2.2, 0.2, "text_features", fontsize=7.5, color="#8b95a3")
    axes.text(6.2, 3.3, "training (on the wells of the split)", fontsize=7.5, color="#8b95a3")
    axes.text(9.6, 3.3, "evaluation", fontsize=7.5, color="#8b95a3")
    figure.savefig(OUTPUT, dpi=130)


if __name__ == "__main__":
    main()
