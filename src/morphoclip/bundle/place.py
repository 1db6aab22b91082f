"""Where a bundle lies: a folder, or a repository on the Hugging Face hub."""

from pathlib import Path

from morphoclip.errors import InputError


def folder_of(place: str | Path, revision: str | None = None) -> Path:
    """The folder of a bundle, fetched where it is the name of a repository (``owner/name``).

    Raises:
        InputError: There is none.
    """
    folder = Path(place)
    return folder if folder.is_dir() else _from_hub(str(place), revision)


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
