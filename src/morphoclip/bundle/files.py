"""The files of a bundle on disk: their names, their format, and whether they are whole.

torch is imported when tensors are read: a page about profiles does not wait for it.
"""

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from morphoclip.errors import InputError
from morphoclip.files import json_digest

FORMAT = 1
"""Raised whenever an earlier version could not read what is written."""

CONFIG_FILE = "config.json"
MODEL_FILE = "model.safetensors"
ADAPTER_FILE = "adapter.safetensors"
CARD_FILE = "README.md"
PROMPTS_FILE = "prompts.parquet"
TREATMENTS_FILE = "treatments.parquet"
WELLS_FILE = "wells.parquet"
PROFILES_FILE = "profiles.npy"


def read_json(folder: Path) -> dict[str, Any]:
    """The configuration of a bundle as it is written, of the format that this version reads.

    Raises:
        InputError: The folder holds no bundle, one of another format, or a damaged one.
    """
    path = folder / CONFIG_FILE
    if not path.is_file():
        raise InputError(
            f"{folder.name} holds no {CONFIG_FILE} and is no bundle: make one with "
            "kedro run --pipeline pack_model, or name the folder (or hub id) of one"
        )
    try:
        written: Any = json.loads(path.read_text(encoding="utf-8"))
        number = written["format"]
        sha256: dict[str, str] = written["files"]
        signed = written.pop("sha256")
        if not all(isinstance(text, str) for pair in sha256.items() for text in pair):
            raise TypeError("files: names and digests are text")
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise damaged_config(folder, repr(error)) from error
    if number != FORMAT:
        older = isinstance(number, int) and number < FORMAT
        remedy = "pack the model again" if older else "a newer version of morphoclip reads it"
        raise InputError(
            f"the bundle {folder.name} has format {number!r} and this version of morphoclip "
            f"reads format {FORMAT}: {remedy}"
        )
    if signed != json_digest(written):
        raise damaged_config(folder, "its content is not what was packed")
    found: dict[str, Any] = written
    return found


def no_profiles(folder: Path) -> InputError:
    """The sentence for a bundle that was packed without profiles."""
    return InputError(
        f"the bundle {folder.name} holds no reference profiles: pack it with "
        "pack_model.profiles:true"
    )


def damaged_config(folder: Path, why: str) -> InputError:
    """The sentence for a configuration that cannot be read."""
    return InputError(
        f"{CONFIG_FILE} of the bundle {folder.name} cannot be read ({why}): fetch or pack the "
        "bundle again"
    )


def sha256_of(path: Path) -> str:
    """Of a file's content."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class BundleFiles:
    """The files of a bundle on disk; each is checked when it is first read."""

    def __init__(self, folder: Path, sha256: Mapping[str, str]) -> None:
        self.folder = folder
        self._sha256 = sha256

    def __contains__(self, name: str) -> bool:
        return name in self._sha256

    def path(self, name: str) -> Path:
        """Where a file lies, once it is known to be whole.

        Raises:
            InputError: It is not there, or its content is not what was packed.
        """
        path = self.folder / name
        if not path.is_file():
            raise self._damaged(name, "it is not there")
        if sha256_of(path) != self._sha256[name]:
            raise self._damaged(name, "its content is not what was packed")
        return path

    def tensors(self, name: str) -> tuple[dict[str, Any], dict[str, str]]:
        """The tensors of a file and its header."""
        from safetensors import SafetensorError, safe_open

        path = self.path(name)
        try:
            with safe_open(path, framework="pt") as file:
                tensors = {key: file.get_tensor(key) for key in file.keys()}  # noqa: SIM118
                return tensors, file.metadata() or {}
        except SafetensorError as error:
            raise self._damaged(name, str(error)) from error

    def table(self, name: str) -> pd.DataFrame:
        """A table."""
        try:
            return pd.read_parquet(self.path(name))
        except (OSError, ValueError) as error:
            raise self._damaged(name, str(error)) from error

    def matrix(self, name: str) -> NDArray[np.float32]:
        """A matrix ``(B, E)``, mapped into memory."""
        try:
            matrix: NDArray[np.float32] = np.load(
                self.path(name), mmap_mode="r", allow_pickle=False
            )
        except (OSError, ValueError) as error:
            raise self._damaged(name, str(error)) from error
        return matrix

    def _damaged(self, name: str, why: str) -> InputError:
        return InputError(
            f"{name} of the bundle {self.folder.name} cannot be used ({why}): fetch or pack the "
            "bundle again"
        )
