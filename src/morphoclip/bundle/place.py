"""Where a bundle lies: a folder, or a repository on the Hugging Face hub."""

from pathlib import Path

from morphoclip.bundle.loaded import Bundle
from morphoclip.errors import InputError


def load_bundle(place: str | Path, *, revision: str | None = None, device: str = "auto") -> Bundle:
    """The bundle in a folder, or of a repository on the Hugging Face hub (``owner/name``).

    Raises:
        InputError: There is none, or it cannot be read.
    """
    folder = Path(place)
    if not folder.is_dir():
        folder = _from_hub(str(place), revision)
    return Bundle(folder, device=device)


def _from_hub(name: str, revision: str | None) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    if name.count("/") != 1 or name.startswith(("/", ".", "~")):
        raise InputError(
            f"there is no folder {name}, and it is no name on the hub (owner/name): give the "
            "folder that kedro run --pipeline pack_model wrote"
        )
    try:
        return Path(snapshot_download(name, revision=revision))
    except (HfHubHTTPError, HFValidationError, LocalEntryNotFoundError, OSError) as error:
        raise InputError(
            f"the bundle {name} is neither a folder nor to be had from the hub "
            f"({type(error).__name__}): check the name, the connection, and for a private one "
            "HF_TOKEN"
        ) from error
