"""MorphoCLIP: match Cell Painting images with text about the treatment."""

from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from morphoclip.bundle.loaded import Bundle

__version__ = "0.1.0"


def load(
    place: "str | Path",
    *,
    revision: str | None = None,
    device: str = "auto",
    image_backbone: str | None = None,
    text_backbone: str | None = None,
) -> "Bundle":
    """Load a model that pipeline ``pack_model`` packed; no Kedro project is needed.

    Args:
        place: A folder, or a repository on the Hugging Face hub (``owner/name``).
        revision: Of the repository on the hub.
        device: ``auto`` takes a CUDA device where there is one.
        image_backbone: Folder or hub id of the vision backbone, where it does not lie where the
            bundle says; its weights have to be the same.
        text_backbone: The same of the text backbone.

    Raises:
        InputError: There is none, one of another version, or a damaged one.
    """
    from morphoclip.bundle.loaded import load_bundle

    return load_bundle(
        place,
        revision=revision,
        device=device,
        image_backbone=image_backbone,
        text_backbone=text_backbone,
    )
